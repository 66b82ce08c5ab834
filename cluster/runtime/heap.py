"""What a burst of work left behind, given back to the operating system.

glibc, where it is the C library, keeps what was freed between things that live, for the next burst:
after a rollout on a thousand nodes 8 MB of an API server's. What stays is then at rest, and may be
moved (`hugepages`). Invariant: a process that never works hard is left alone.
"""

import asyncio
import contextlib
import time
from typing import Final

INTERVAL_S: Final = 10.0
"""Real seconds between two looks."""
BURST_S: Final = 1.0
"""CPU seconds in one interval that leave something behind."""


class Bursts:
    """Tells from the CPU time of interval after interval when a burst is over."""

    def __init__(self) -> None:
        self._most_s = 0.0

    def over(self, used_s: float) -> bool:
        """Whether an interval in which so much CPU time was used is the calm after a burst."""
        if self._most_s >= BURST_S and used_s <= self._most_s / 2:
            self._most_s = 0.0
            return True
        self._most_s = max(self._most_s, used_s)
        return False


async def kept_small() -> None:
    """After each burst give back what is free, and lay out anew what is large, for ever."""
    bursts, before_s = Bursts(), time.process_time()
    while True:
        await asyncio.sleep(INTERVAL_S)
        now_s = time.process_time()
        if bursts.over(now_s - before_s):
            trim()
            from kubeherd.cluster.runtime import hugepages  # noqa: PLC0415 - after the first burst

            await hugepages.use_if_large()
        before_s = now_s


def trim() -> None:
    """Give back what is free; some milliseconds. Does nothing with another C library."""
    import ctypes  # noqa: PLC0415 - after the first burst

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
