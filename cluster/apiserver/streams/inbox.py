"""What a client sent to one conversation and nobody has read yet."""

import asyncio
from typing import Final

_MESSAGES: Final = 16


class Inbox:
    """A bounded queue of data, b"" for its end. Invariant: who puts waits for a slow reader, never
    for one that has left."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MESSAGES)
        self._closed = False

    async def put(self, data: bytes) -> None:
        """Leave data; it is dropped when nobody reads any more."""
        if not self._closed:
            await self._queue.put(data)

    async def get(self) -> bytes:
        """The next data."""
        return await self._queue.get()

    def close(self) -> None:
        """The reader leaves."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()
