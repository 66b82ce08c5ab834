"""The life of a process: event loop, signals, readiness handshake, ordered stop, exit code.

Invariants: SIGTERM and SIGINT only set `Lifecycle.stop`; the main coroutine ends by itself, and
is cancelled when the grace period is over or a second signal comes; no traceback reaches a user
(unexpected errors are logged); the readiness line is written at most once; no file or directory
that the process makes is open to other users.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

import orjson
import structlog

from kubeherd.cluster.runtime import heap, logging
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE

STOP_GRACE_PERIOD_S = 10.0
PRIVATE_UMASK = 0o077
"""What a process of a cluster makes is for its user alone, whatever umask `up` was called with."""

YOUNG_OBJECTS = 5_000
"""So many new containers make the garbage collector look at them. A request or a pod leaves next to
no reference cycles but makes hundreds of containers: with the interpreter's 700 a seventh of a
write, and a tenth of what agents and controllers did, was spent on looking at what lives. Each
connection that ends leaves a cycle with tens of kilobytes of TLS, so a server must look this often;
and everybody waits meanwhile, which is two milliseconds for so many."""
YOUNG_OBJECTS_OF_CLIENTS = 100_000
"""The same for those to whom no stranger connects: what a rollout makes them keep was 15 % of what
agents did, and 5 % of what controllers did."""
_OLDER_GENERATIONS = (80, 20)

_log = structlog.get_logger(__name__)


class ExitCode(IntEnum):
    """What a process ends with; 2 is wrong usage, said by the command line parser."""

    DONE = 0
    FAILED = 1
    USAGE = 2


class ProcessError(Exception):
    """A reason not to start or to go on that a person can act on: one clear line, exit code 1."""


class Lifecycle:
    """What `main` gets: the stop event, and the way to say that it serves."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stop = asyncio.Event()
        self._ready = False

    def ready(self, **facts: Any) -> None:
        """Tell the parent that this process serves: one JSON line on KUBEHERD_READY_FD, if set.

        What exists by now lives as long as the process, so it leaves the garbage collector's sight.
        """
        if self._ready:
            return
        self._ready = True
        _log.info("ready", **facts)
        announce({"name": self.name, "pid": os.getpid(), **facts})
        gc.collect()
        gc.freeze()

    def failed(self, error: str) -> None:
        """Tell the parent why this process will never serve: the key `error` in the same line."""
        if not self._ready:
            self._ready = True
            announce({"name": self.name, "pid": os.getpid(), "error": error})


def announce(facts: dict[str, Any]) -> None:
    """Write one JSON line to the descriptor in KUBEHERD_READY_FD and close it.

    Does nothing without that variable; a parent that went away is not an error.
    """
    descriptor = os.environ.pop(READY_FD_VARIABLE, "")
    if not descriptor.isdigit():
        return
    try:
        os.write(int(descriptor), orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))
        os.close(int(descriptor))
    except OSError as error:
        _log.warning("ready_not_announced", error=str(error))


Main = Callable[[Lifecycle], Awaitable[int | None]]


def run(
    main: Main,
    name: str,
    *,
    grace_period_s: float = STOP_GRACE_PERIOD_S,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    log_level: str = "",
    young_objects: int = YOUNG_OBJECTS,
) -> int:
    """Run `main(lifecycle)` to its end and return the exit code (None of `main` counts as 0).

    Configures logging under `name`. `main` should return soon after `lifecycle.stop` is set;
    after `grace_period_s` real seconds it is cancelled. `loop_factory`: uvloop by default.
    `young_objects`: how often garbage is collected.
    """
    logging.configure(name, level=log_level)
    gc.set_threshold(young_objects, *_OLDER_GENERATIONS)
    previous = os.umask(PRIVATE_UMASK)
    try:
        with asyncio.Runner(loop_factory=loop_factory or _new_uvloop) as runner:
            return runner.run(supervised(main, name, grace_period_s=grace_period_s))
    finally:
        os.umask(previous)


def _new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - processes on another loop need not pay for it

    return uvloop.new_event_loop()


async def supervised(main: Main, name: str, *, grace_period_s: float = STOP_GRACE_PERIOD_S) -> int:
    """`run` inside a loop that exists already: handles signals, stop, errors, exit code."""
    lifecycle = Lifecycle(name)
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main(lifecycle))
    trimming = asyncio.ensure_future(heap.kept_small())

    def on_signal(number: signal.Signals) -> None:
        if lifecycle.stop.is_set():
            _log.warning("stopping_at_once", signal=number.name)
            task.cancel()
            return
        _log.info("stopping", signal=number.name)
        lifecycle.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await _until_stopped(task, lifecycle.stop, grace_period_s)
        return _exit_code(task, lifecycle)
    finally:
        trimming.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until_stopped(
    task: "asyncio.Future[int | None]", stop: asyncio.Event, grace_period_s: float
) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {task, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    _, unfinished = await asyncio.wait({task}, timeout=grace_period_s)
    if unfinished:
        _log.warning("stop_took_too_long", grace_period_s=grace_period_s)
        task.cancel()
        await asyncio.wait({task})


def _exit_code(task: "asyncio.Future[int | None]", lifecycle: Lifecycle) -> int:
    if task.cancelled():
        return ExitCode.FAILED
    error = task.exception()
    if error is None:
        code = task.result()
        _log.info("stopped", on_request=lifecycle.stop.is_set())
        return ExitCode.DONE if code is None else code
    if isinstance(error, ProcessError):
        _log.error("process_failed", error=str(error))
    else:
        _log.error("process_crashed", exc_info=error)
    lifecycle.failed(str(error) or type(error).__name__)
    return ExitCode.FAILED
