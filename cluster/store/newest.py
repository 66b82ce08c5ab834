"""The newest revision of a shared engine, asked for once for all who want to know it at a time.

Invariant: the answer was asked for after the question: a write that somebody was told of before is
in it.
"""

import asyncio
from collections.abc import Awaitable, Callable


class Newest:
    """See the module. `newest` asks the engine."""

    def __init__(self, newest: Callable[[], Awaitable[int]]) -> None:
        self._newest = newest
        self._asked: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def ask(self) -> int:
        """The newest revision. ServiceUnavailable where the engine does not say."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._asked), name="store-newest")
        return await asyncio.shield(self._next)

    async def _after(self, before: "asyncio.Task[int] | None") -> int:
        if before is not None:
            await asyncio.wait([before])
        self._asked, self._next = self._next, None
        return await self._newest()

    def close(self) -> None:
        """Nobody is answered any more."""
        for task in (self._asked, self._next):
            if task is not None:
                task.cancel()
