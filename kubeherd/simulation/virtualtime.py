"""An event loop on virtual time: sleeping costs nothing, waiting for nothing is an error."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from kubeherd.cluster.api.timestamps import parse_time

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TICK_S = 2e-9
"""More than a loop's clock resolution."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall-clock time at which virtual time begins."""


class _JumpingSelector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: every task waits, and no timer is set")
            self.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as nothing is left to do."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop's. Timers fire up to a nanosecond early, and here no time passes meanwhile:
        who looks whether his time has come would wait for the rest of it again and for ever."""
        return super().call_at(max(when, self.time() + _TICK_S), callback, *args, context=context)


class VirtualClock:
    """A clock on an event loop with virtual time: wall time is `epoch` plus the loop's time."""

    def __init__(self, epoch: datetime) -> None:
        self.epoch = epoch

    def now(self) -> datetime:
        return self.epoch + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def age_s(self, timestamp: str | datetime) -> float:
        moment = parse_time(timestamp) if isinstance(timestamp, str) else timestamp
        return (self.now() - moment).total_seconds()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(max(0.0, duration_s))

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        async with asyncio.timeout(max(0.0, timeout_s)):
            return await awaitable


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def run_with_clock(main: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Run `main(clock)` to its end on virtual time."""

    async def started() -> T:
        return await main(VirtualClock(EPOCH))

    return run(started())


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make an async test an ordinary one that runs on virtual time."""

    def wrapper() -> None:
        run(test())

    wrapper.__name__ = test.__name__
    wrapper.__doc__ = test.__doc__
    wrapper.__module__ = test.__module__
    return wrapper
