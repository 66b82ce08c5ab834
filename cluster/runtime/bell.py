"""An event for those who have thousands of them: as asyncio's, without a queue that is made ahead.

Invariant: whoever waits is woken by the next `set`, in the order in which they came.
"""

import asyncio
from collections.abc import Sequence


class Bell:
    """As `asyncio.Event`, in a tenth of its memory while nobody waits."""

    __slots__ = ("_rung", "_waiters")

    def __init__(self) -> None:
        self._rung = False
        self._waiters: Sequence[asyncio.Future[None]] = ()

    def is_set(self) -> bool:
        """Whether it was set, and not cleared since."""
        return self._rung

    def set(self) -> None:
        """Wake all who wait; nobody waits from now on."""
        self._rung = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """From now on they wait again."""
        self._rung = False

    async def wait(self) -> None:
        """Return when it is set."""
        if self._rung:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters = (*self._waiters, waiter)
        try:
            await waiter
        finally:
            self._waiters = tuple(one for one in self._waiters if one is not waiter)
