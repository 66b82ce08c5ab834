"""How much is done in one turn of the event loop, by all together whose work can be divided.

Whoever comes meanwhile waits for the turn to end: if each gave way after so much of his own, a turn
would be as long as there are many. Work is estimated, not timed: then the same seed gives the same
run. Invariant: somebody who waits for room goes on in each turn, in the order in which they came.
"""

import asyncio
from typing import Final

TURN_US: Final = 4000
"""Microseconds of work in a turn, on an ordinary core."""


class Turns:
    """The turns of the event loop in which it is used; one per process, given to all who divide
    their work."""

    def __init__(self, turn_us: int = TURN_US) -> None:
        self._turn_us = self._left_us = turn_us
        self._begins = False

    @property
    def busy(self) -> bool:
        """Whether anything of this turn, or of the one that has just ended, was taken."""
        return self._begins

    def spend(self, work_us: int) -> None:
        """So much is done in this turn, whatever was done before."""
        self._left_us -= work_us
        if not self._begins:
            self._begins = True
            asyncio.get_running_loop().call_soon(self._begin)

    def take(self, work_us: int) -> bool:
        """Do so much in this turn, if it is not full yet; whether it was not."""
        if self._left_us <= 0:
            return False
        self.spend(work_us)
        return True

    async def room(self, work_us: int) -> None:
        """Do so much in the first turn that is not full."""
        while not self.take(work_us):  # noqa: ASYNC110 - one turn is waited for, then the next
            await asyncio.sleep(0)

    def _begin(self) -> None:
        """The next turn: this was the first that was due in it, of all who know of turns."""
        self._begins = False
        self._left_us = self._turn_us
