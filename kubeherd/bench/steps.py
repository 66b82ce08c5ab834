"""What each step of a request costs its thread: CPU time, without that of the steps within it.

A step is a name for functions of the API server. `metered` puts a stopwatch around each of them; a
function that runs while another one does stops the other's. Only functions that never wait are
metered, so nothing else runs between their beginning and their end.
"""

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any, Final

import msgspec


class Step(StrEnum):
    """A step, in the order of a request."""

    PARSE = "parse"
    AUTHENTICATE = "authenticate"
    AUTHORIZE = "authorize"
    DECODE = "decode"
    LOAD = "load"
    """The stored object into a tree."""
    PATCH = "patch"
    DEFAULT = "default"
    OWN = "own"
    """Field ownership."""
    ADMIT = "admit"
    VALIDATE = "validate"
    ENCODE = "encode"
    STAGE = "stage"
    PUBLISH = "publish"
    DELIVER = "deliver"
    """To watchers."""
    ANSWER = "answer"


_SERVER: Final = "kubeherd.cluster.apiserver"
FUNCTIONS: Final = (
    (Step.PARSE, f"{_SERVER}.edge.plain.requests", "read"),
    (Step.PARSE, f"{_SERVER}.edge.routing", "parse"),
    (Step.PARSE, "kubeherd.cluster.api.private.batch", "decode_requests"),
    (Step.AUTHENTICATE, f"{_SERVER}.access.authenticator", "Authenticator.user"),
    (Step.AUTHORIZE, f"{_SERVER}.handlers.resources", "Resources._allowed"),
    (Step.DECODE, f"{_SERVER}.handlers.services", "Call.decode"),
    (Step.DECODE, f"{_SERVER}.write.short.renewal", "_in_json"),
    (Step.DECODE, f"{_SERVER}.handlers.patching", "_read"),
    (Step.DECODE, f"{_SERVER}.handlers.patching", "_decoded"),
    (Step.DECODE, f"{_SERVER}.handlers.patching", "_copied"),
    (Step.DECODE, f"{_SERVER}.write.short.alike.statustexts", "cut"),
    (Step.DECODE, "kubeherd.cluster.api.serializer.decoding", "decode_struct"),
    (Step.LOAD, "kubeherd.cluster.store.state", "Record.load"),
    (Step.LOAD, f"{_SERVER}.write.short.podparts", "parts"),
    (Step.PATCH, f"{_SERVER}.handlers.patching", "_patched"),
    (Step.PATCH, f"{_SERVER}.write.short.alike.statuses", "Templates.of"),
    (Step.PATCH, f"{_SERVER}.write.short.renewal", "renewed"),
    (Step.DEFAULT, "kubeherd.cluster.api.defaults", "apply"),
    (Step.DEFAULT, "kubeherd.cluster.api.defaults", "apply_to_status"),
    (Step.OWN, f"{_SERVER}.write.tracking", "record"),
    (Step.OWN, f"{_SERVER}.write.short.renewal", "_owned"),
    (Step.ADMIT, f"{_SERVER}.admission", "Admission.mutate"),
    (Step.ADMIT, f"{_SERVER}.admission", "Admission.allocate"),
    (Step.ADMIT, f"{_SERVER}.admission", "Admission.validate"),
    (Step.ADMIT, f"{_SERVER}.write.chain", "AdmissionChain.charge"),
    (Step.VALIDATE, f"{_SERVER}.write.wording", "of_create"),
    (Step.VALIDATE, f"{_SERVER}.write.wording", "of_update"),
    (Step.VALIDATE, "kubeherd.cluster.api.validation", "update_of_part"),
    (Step.ENCODE, "kubeherd.cluster.api.serializer.codecs", "dumps_json_to_keep"),
    (Step.STAGE, "kubeherd.cluster.store.store", "Store.put"),
    (Step.STAGE, "kubeherd.cluster.store.store", "Store.replace"),
    (Step.STAGE, "kubeherd.cluster.store.store", "Store.delete"),
    (Step.PUBLISH, "kubeherd.cluster.store.local", "LocalStore._publish"),
    (Step.DELIVER, "kubeherd.cluster.store.watch.hub", "Hub.publish"),
    (Step.ANSWER, f"{_SERVER}.handlers.answers", "object_response"),
    (Step.ANSWER, f"{_SERVER}.handlers.answers", "list_response"),
    (Step.ANSWER, f"{_SERVER}.handlers.begun", "object_response"),
    (Step.ANSWER, f"{_SERVER}.edge.http", "HttpServer._finished"),
    (Step.ANSWER, f"{_SERVER}.edge.heads", "Heads.plain"),
    (Step.ANSWER, "kubeherd.cluster.api.private.batch", "encode"),
)
"""By module and name, as those who call them find them."""


class Meter:
    """CPU seconds of one thread by step, since the last `reset`."""

    def __init__(self, clock_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self._clock_ns = clock_ns
        self._thread = threading.get_ident()
        self._under_way: list[Step] = []
        self._since_ns = 0
        self._spent_ns: dict[Step, int] = {}

    def reset(self) -> None:
        """Begin again."""
        self._spent_ns = dict.fromkeys(Step, 0)

    def spent_s(self) -> dict[Step, float]:
        """Seconds by step."""
        return {step: spent / 1e9 for step, spent in self._spent_ns.items()}

    def around(self, step: Step, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a stopwatch."""

        @wraps(function)
        def metered(*args: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*args, **named)
            self._turn()
            self._under_way.append(step)
            try:
                return function(*args, **named)
            finally:
                self._turn()
                self._under_way.pop()

        return metered

    def _turn(self) -> None:
        """What was spent since the last turn is the innermost step's."""
        now_ns = self._clock_ns()
        if self._under_way:
            step = self._under_way[-1]
            self._spent_ns[step] = self._spent_ns.get(step, 0) + now_ns - self._since_ns
        self._since_ns = now_ns


class _Replaced(msgspec.Struct):
    owner: Any
    name: str
    function: Callable[..., Any]


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """The functions of the steps are metered while the body runs; AttributeError if one of them is
    not where this module says."""
    replaced = []
    for step, module, path in FUNCTIONS:
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        function = getattr(owner, name)
        setattr(owner, name, meter.around(step, function))
        replaced.append(_Replaced(owner, name, function))
    try:
        yield
    finally:
        for one in reversed(replaced):
            setattr(one.owner, one.name, one.function)
