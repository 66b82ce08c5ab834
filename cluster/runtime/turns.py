"""A budget of work for each turn of the event loop, shared by all whose work can be divided.

A request that arrives during a turn waits until the turn ends. So turns must be short, whatever
there is to do: a limit for each piece of work alone would not help, because many pieces can be due
in one turn. Work is estimated, not timed, so that a simulation with the same seed runs in the same
way. Invariant: in each turn somebody who waits for room goes on, in the order of their coming.
"""

import asyncio
from typing import Final

TURN_US: Final = 4000
"""The budget: microseconds of work on an ordinary core."""


class Turns:
    """The budget of the event loop in which it is used; one per process, given to all parts of it
    whose work can be divided."""

    def __init__(self, turn_us: int = TURN_US) -> None:
        self._turn_us = self._left_us = turn_us
        self._begins = False

    @property
    def busy(self) -> bool:
        """Whether any work was done in this turn, or in the one that has just ended."""
        return self._begins

    def spend(self, work_us: int) -> None:
        """Account for work that is done in this turn, whether there is room for it or not."""
        self._left_us -= work_us
        if not self._begins:
            self._begins = True
            asyncio.get_running_loop().call_soon(self._begin)

    def take(self, work_us: int) -> bool:
        """Account for work if this turn still has room; False if it has none."""
        if self._left_us <= 0:
            return False
        self.spend(work_us)
        return True

    async def room(self, work_us: int) -> None:
        """Wait for a turn that has room for work, and account for it."""
        while not self.take(work_us):  # noqa: ASYNC110 - one turn is waited for, then the next
            await asyncio.sleep(0)

    def _begin(self) -> None:
        """A new turn begins: this is the first callback in it of all that use turns."""
        self._begins = False
        self._left_us = self._turn_us
