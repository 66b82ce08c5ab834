"""What must hold whatever is sent, and the run that looks for a request after which it does not.

1. No answer is a 5xx that Kubernetes would not give: 504 for a resourceVersion that the server has
   not reached, 503 of proxies, 500 without a reason for what Kubernetes has no Status for.
2. No request keeps the server from others for longer than `MAX_STALL_S` of processor time.
3. A refused request leaves the revision of the store as it was, but for what the server writes
   by itself in that moment.
4. What is stored decodes and is valid.
5. What is stored is told: a copy that watches keep is what lists show.
6. What is stored can be read in every encoding, and is the same object.
7. Memory does not grow with the number of requests.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from hostile.mirror import Mirror, Untold
from hostile.requests import Hostile, Requests
from hostile.targets import Answer, Target
from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import decoding

MAX_STALL_S = 0.25
MAX_GROWTH_BYTES = 48 * 1024 * 1024
"""More than the store of the few names that are used can vary by."""

_LOOK_EVERY = 2_000
_FOLLOW_EVERY = 200
"""The history of the attacked server is short: who watches must not be further behind."""
_TURNS = 4
"""A timer that is due, its future, the task that waits for it, and one to spare."""

_MAX_PROBLEMS = 10
_READS = ("GET", "HEAD", "OPTIONS")
_PARTIAL = ("pods/eviction", "batch")
"""Requests that are several writes: those before the refused one have been carried out."""


_ACCOUNT = Hostile(
    "account", "POST", "/api/v1/namespaces/default/serviceaccounts", {},
    {"content-type": "application/json"}, b'{"metadata":{"name":"default"}}',
)  # fmt: skip
"""Makes the account that a controller would make: a new pod waits seconds for it."""


@dataclass(frozen=True)
class Problem:
    """A law that was broken, and by which request (None: by one of the last ones)."""

    why: str
    request: Hostile | None = None
    is_stall: bool = False


@dataclass
class Report:
    """What a run saw."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    longest_stall_s: float = 0.0
    growth_bytes: int = 0
    stored: int = 0


_NOBODY_LISTENS = (
    b"error trying to reach service: ",
    b"no endpoints available for service ",
    b"no service port ",
)
"""What a proxy says of pods that answer nothing, as in Kubernetes."""


def wrong_answer(answer: Answer) -> str:
    """What is wrong with an answer by itself, or ""."""
    if answer.status == 0:
        return f"no answer: {answer.body.decode(errors='replace')}"
    if answer.status < 500:
        return ""
    if answer.status == 504 and b"Too large resource version" in answer.body:
        return ""
    if answer.status == 500 and b"Failure" in answer.body and b"InternalError" not in answer.body:
        return ""  # bad input that Kubernetes has no Status for (`errors.PlainError`)
    if answer.status == 503 and any(text in answer.body for text in _NOBODY_LISTENS):
        return ""
    return f"{answer.status}: {answer.body[:300].decode(errors='replace')}"


def wrong_object(stored: JsonObject) -> str:
    """Why a stored object should not be, or ""."""
    resource = kinds.for_kind(stored["apiVersion"], stored["kind"])
    if resource is None:
        return "of a kind that is not served"
    tree = orjson.loads(orjson.dumps(stored))
    problems = decoding.decode(resource, tree)
    if problems:
        return f"has {problems[0]}"
    defaults.apply(resource, tree)
    causes = validation.update(resource, tree, stored)
    return f"is invalid: {causes[0].field}: {causes[0].message}" if causes else ""


class Run:
    """A number of requests to one target, and what became of them."""

    def __init__(self, target: Target, requests: Requests) -> None:
        self._target = target
        self._requests = requests
        self._mirror = Mirror(target)
        self._current: Hostile | None = None
        self._busy = False
        self._looks = 0
        """How often the checker itself has been busy: what the watcher must not blame."""
        self._revision: int | None = None
        """Of the store after the last request; None where that may have changed it."""
        self.report = Report()

    async def run(self, count: int, progress: Callable[[int], None]) -> Report:
        """Send `count` requests; ends early when much is wrong. `progress` is told how far."""
        report = self.report
        watcher = asyncio.create_task(self._watch(), name="stall watcher")
        middle_bytes: int | None = None
        try:
            await self._target.send(_ACCOUNT)
            await self._mirror.follow()
            for number in range(count):
                request = self._requests.next()
                await _turn()  # what it took to make the request is not the server's
                await self._one(request)
                await _turn()
                if len(report.problems) >= _MAX_PROBLEMS:
                    break
                if number % _FOLLOW_EVERY == _FOLLOW_EVERY - 1:
                    async with self._looking():
                        await self._mirror.follow()
                if number % _LOOK_EVERY == _LOOK_EVERY - 1:
                    progress(number + 1)
                    await self._look()
                if number == count // 2:
                    middle_bytes = self._memory()
            if middle_bytes is not None:
                report.growth_bytes = self._memory() - middle_bytes
            if report.growth_bytes > MAX_GROWTH_BYTES:
                text = f"memory grew by {report.growth_bytes >> 20} MiB in the second half"
                report.problems.append(Problem(text))
            await self._look()
        except Untold as error:
            report.problems.append(Problem(str(error)))
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        return report

    async def _one(self, request: Hostile) -> None:
        if self._revision is None:
            self._revision = await self._target.revision()
        before = self._revision
        self._current = request
        answer = await self._target.send(request)
        self.report.answers[request.route, answer.status] += 1
        why = wrong_answer(answer)
        if why:
            self.report.problems.append(Problem(why, request))
        if answer.status < 400 or _is_partial(request):
            if request.method not in _READS:
                self._revision = None
            if request.method == "DELETE" and _ACCOUNT.path in request.path:
                await self._target.send(_ACCOUNT)
        elif request.method not in _READS:
            after = self._revision = await self._target.revision()
            if after != before and not self._target.by_itself(before, after):
                text = f"refused with {answer.status}, but the revision is {after}, was {before}"
                self.report.problems.append(Problem(text, request))

    async def _look(self) -> None:
        """Look through the store, and at what watchers and readers see of it."""
        async with self._looking():
            stored = await self._target.stored()
            self.report.stored = len(stored)
            for tree in stored:
                why = wrong_object(tree)
                if why:
                    meta = tree["metadata"]
                    name = f"{tree['kind']} {meta.get('namespace', '')}/{meta['name']}"
                    shown = orjson.dumps(tree)[:600].decode()
                    self.report.problems.append(Problem(f"{name} {why}: {shown}"))
            self.report.problems += [Problem(why) for why in await self._mirror.problems()]

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """The checker is busy: it may take as long as it likes."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._looks += 1

    def _memory(self) -> int:
        self._looks += 1
        return self._target.memory_bytes()

    async def _watch(self) -> None:
        """Measure, all the time, how long the server does not let others through."""
        while True:
            before, looks = self._current, self._looks
            stall_s = await self._target.stall_s()
            if self._busy or looks != self._looks or before is None:
                continue
            self.report.longest_stall_s = max(self.report.longest_stall_s, stall_s)
            if stall_s > MAX_STALL_S:
                text = f"others waited for {stall_s * 1000:.0f} ms of processor time"
                self.report.problems.append(Problem(text, before, is_stall=True))


async def _turn() -> None:
    """Let the watcher measure: requests in process may be answered without a break."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _is_partial(request: Hostile) -> bool:
    return request.route in _PARTIAL or request.method == "DELETE"
