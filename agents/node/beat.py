"""What a node repeats for as long as it lives: a task while it does it, a timer in between.

A task that sleeps takes two kilobytes, and a fleet would have thousands of them. Invariants: a
heart has at most one beat under way; none begins after `stop`.
"""

import asyncio
from typing import Protocol

from kubeherd.agents.kubelet.timers import Timers
from kubeherd.cluster.runtime.clock import Clock


class Heart(Protocol):
    """What is repeated. Seconds are nominal."""

    async def beat(self) -> None:
        """Do once what is repeated."""

    def rests(self) -> bool:
        """Whether the next beat would do nothing, and can be left out."""

    def interval_s(self) -> float:
        """Seconds until the next beat."""


class Beat:
    """The beats of one heart; `tasks` owns their tasks."""

    __slots__ = ("_again", "_clock", "_heart", "_key", "_stopped", "_task", "_tasks", "_tick_s",
                 "_timers")  # fmt: skip

    def __init__(
        self,
        key: str,
        heart: Heart,
        *,
        timers: Timers,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        tick_s: float,
    ) -> None:
        """`tick_s`: beats begin at multiples of this time only, so that those of many nodes begin
        together; 0: at any time."""
        self._key = key
        self._heart = heart
        self._timers = timers
        self._tasks = tasks
        self._clock = clock
        self._tick_s = tick_s
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._stopped = False

    def now(self) -> None:
        """Begin a beat at once, or as soon as the one under way is over."""
        if self._stopped:
            return
        if self._task is not None:
            self._again = True
            return
        self._timers.cancel(self._key)
        self._task = self._tasks.create_task(self._beat(), name=self._key)

    def stop(self) -> None:
        """Begin no beat any more."""
        self._stopped = True
        self._timers.cancel(self._key)

    async def _beat(self) -> None:
        try:
            await self._heart.beat()
        finally:
            self._task = None
        if self._again:
            self._again = False
            self.now()
        elif not self._stopped:
            self._wait()

    def _due(self) -> None:
        if self._heart.rests():
            self._wait()
        else:
            self.now()

    def _wait(self) -> None:
        now_s = self._clock.monotonic_s()
        wait_s = on_tick(now_s, self._heart.interval_s(), self._tick_s)
        self._timers.at(self._key, now_s + wait_s, self._due)


def on_tick(now_s: float, wait_s: float, tick_s: float) -> float:
    """`wait_s`, lengthened so that it ends at a multiple of `tick_s` on the clock of `now_s`."""
    return wait_s + (-(now_s + wait_s) % tick_s if tick_s else 0.0)
