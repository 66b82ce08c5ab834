"""Time as an interface (ARCHITECTURE.md, "Time and chance are arguments").

Durations in kubeherd are *nominal* seconds: the 50 s of a grace period are 50 wherever they are
compared or slept. A clock with speed X makes a nominal second last 1/X real seconds, while
`Clock.now` stays true wall-clock time, so timestamps in objects are never wrong.

Everything is derived from the running event loop's time and one wall-clock reading, so a loop
with virtual time (tests/simulation) moves every clock in the process with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from kubeherd.cluster.api.timestamps import parse_time

T = TypeVar("T")


class Clock(Protocol):
    """What code may know of time."""

    def now(self) -> datetime:
        """True wall-clock time, aware, UTC."""

    def monotonic_s(self) -> float:
        """Nominal seconds since an arbitrary start; never goes back; runs at `speed`."""

    def age_s(self, timestamp: str | datetime) -> float:
        """Nominal seconds since a wall-clock timestamp (negative if it lies ahead)."""

    async def sleep(self, duration_s: float) -> None:
        """Sleep nominal seconds."""

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        """Await with a nominal timeout; TimeoutError when it is over."""

    def call_later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something after nominal seconds, unless it is cancelled before."""


class LoopClock:
    """The clock of a process: wall time, the event loop's timers, and a speed factor >= 1e-3."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed < 1e-3:
            raise ValueError(f"speed must be at least 0.001, got {speed}")
        self.speed = speed

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic() * self.speed

    def age_s(self, timestamp: str | datetime) -> float:
        moment = parse_time(timestamp) if isinstance(timestamp, str) else timestamp
        return (self.now() - moment).total_seconds() * self.speed

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(max(0.0, duration_s) / self.speed)

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        async with asyncio.timeout(max(0.0, timeout_s) / self.speed):
            return await awaitable

    def call_later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0.0, delay_s) / self.speed, act)


class OffsetClock:
    """The clock of a machine whose wall time is wrong, by an offset that can grow or shrink.

    Waits and monotonic time are right, as with a real machine: only what it believes the time of
    day to be, and what it concludes from others' timestamps, is off. Right until `set` is called.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._skew = timedelta(0)
        self._drift = 0.0
        self._since = clock.now()

    def set(self, skew_s: float, drift: float = 0.0) -> None:
        """From now on ahead by `skew_s` true seconds (negative: behind), and by `drift` seconds
        more for each true second that passes. ``set(0)`` puts it right."""
        self._skew = timedelta(seconds=skew_s)
        self._drift = drift
        self._since = self._clock.now()

    def show(self, now: datetime, speed: float) -> None:
        """It is `now`, and from here on time passes at this speed; 0: it stands."""
        self._since = self._clock.now()
        self._skew, self._drift = now - self._since, speed - 1.0

    def offset(self) -> timedelta:
        """How far ahead of the true time it is now."""
        return self._offset_at(self._clock.now())

    def _offset_at(self, true: datetime) -> timedelta:
        return self._skew + (true - self._since) * self._drift if self._drift else self._skew

    def now(self) -> datetime:
        true = self._clock.now()  # read once: a clock that stands does so to the microsecond
        return true + self._offset_at(true)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def age_s(self, timestamp: str | datetime) -> float:
        moment = parse_time(timestamp) if isinstance(timestamp, str) else timestamp
        return self._clock.age_s(moment - self.offset())

    async def sleep(self, duration_s: float) -> None:
        await self._clock.sleep(duration_s)

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        return await self._clock.wait_for(awaitable, timeout_s)

    def call_later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return self._clock.call_later(delay_s, act)
