"""Time as an interface (ARCHITECTURE.md, "Time and chance are arguments").

Durations in kubeherd are *nominal* seconds: the 50 s of a grace period are 50 wherever they are
compared or slept. A clock with speed X makes a nominal second last 1/X real seconds, while
`Clock.now` stays true wall-clock time, so timestamps in objects are never wrong.

Everything is derived from the running event loop's time and one wall-clock reading, so a loop
with virtual time (tests/simulation) moves every clock in the process with it.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
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
