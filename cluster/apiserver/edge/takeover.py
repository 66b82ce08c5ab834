"""A connection whose bytes are no HTTP any more, as a `Socket` of a session: SPDY.

Invariant: at most `_UNREAD_BYTES` and one piece wait for the session; then the client waits.
"""

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from kubeherd.cluster.apiserver.edge.connection import Connection
from kubeherd.cluster.apiserver.edge.messages import UpgradeResponse

PROTOCOL_HEADER: Final = "X-Stream-Protocol-Version"
_UNREAD_BYTES: Final = 64 * 1024


class TakenSocket:
    """The bytes of a connection."""

    def __init__(self, connection: Connection, writer: AbstractStreamWriter) -> None:
        self._connection = connection
        self._writer = writer
        self._unread = bytearray()
        self._gone = False
        self._paused = False
        self._news = asyncio.Event()
        connection.taken_over = self._take

    def _take(self, data: bytes) -> None:
        self._unread += data
        self._gone = self._gone or not data
        self._news.set()
        transport = self._connection.transport
        if len(self._unread) > _UNREAD_BYTES and transport is not None and not self._paused:
            self._paused = True
            transport.pause_reading()

    async def send(self, data: bytes | str) -> None:
        """Send bytes; ConnectionError when the client has gone."""
        await self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """What has come since; None when nothing more will."""
        while not self._unread and not self._gone:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._unread)
        self._unread.clear()
        transport = self._connection.transport
        if self._paused and transport is not None:
            self._paused = False
            transport.resume_reading()
        return data or None

    async def close(self, last: bytes | str | None = None) -> None:
        """Hang up when all that was sent is written, a last message too if there is one."""
        transport = self._connection.transport
        try:
            if last is not None:
                await self.send(last)
        finally:
            if transport is not None:
                transport.close()


async def serve(request: web.BaseRequest, answer: UpgradeResponse) -> web.StreamResponse:
    """Switch protocols and hand the connection over; returns when it is closed."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        raise TypeError("not a connection of this server")
    headers = {"Connection": "Upgrade", "Upgrade": answer.upgrade.value}
    response = web.StreamResponse(status=101, headers=headers | {PROTOCOL_HEADER: answer.protocol})
    response.force_close()
    writer = await response.prepare(request)
    if writer is None:
        raise ConnectionError("the client went away")
    await answer.serve(TakenSocket(connection, writer))
    return response
