"""One timer task for all pods of a process: thousands of wake-ups cost one heap.

Invariants: a key has at most one pending wake-up, the last one asked for; callbacks run on the
event loop, in order of time; a callback may ask for new wake-ups.
"""

import asyncio
import heapq
from collections.abc import Callable

from kubeherd.cluster.runtime.clock import Clock

_IDLE_S = 3600.0


class Timers:
    """Wake-ups at nominal times of one clock. `run` is a task of its owner."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, str]] = []
        self._pending: dict[str, tuple[int, Callable[[], None]]] = {}
        self._counter = 0
        self._sooner = asyncio.Event()

    def at(self, key: str, when_s: float, callback: Callable[[], None]) -> None:
        """Call `callback` at `when_s` of the clock's monotonic time; replaces the key's wake-up."""
        self._counter += 1
        self._pending[key] = (self._counter, callback)
        heapq.heappush(self._heap, (when_s, self._counter, key))
        if self._heap[0][1] == self._counter:
            self._sooner.set()

    def cancel(self, key: str) -> None:
        """Forget the key's wake-up, if there is one."""
        self._pending.pop(key, None)

    def run_due(self) -> float:
        """Run what is due; returns how long until the next wake-up, in nominal seconds."""
        while self._heap:
            when_s, number, key = self._heap[0]
            pending = self._pending.get(key)
            if pending is None or pending[0] != number:
                heapq.heappop(self._heap)
                continue
            wait_s = when_s - self._clock.monotonic_s()
            if wait_s > 0:
                return min(wait_s, _IDLE_S)
            heapq.heappop(self._heap)
            del self._pending[key]
            pending[1]()
        return _IDLE_S

    async def run(self) -> None:
        """Run wake-ups for ever."""
        while True:
            self._sooner.clear()
            wait_s = self.run_due()
            if self._sooner.is_set():
                continue
            try:
                await self._clock.wait_for(self._sooner.wait(), wait_s)
            except TimeoutError:
                continue
