"""aiohttp's WebSocket as a `Socket` of a session."""

import asyncio
import socket

from aiohttp import WSMsgType, web

from kubeherd.cluster.apiserver.edge.messages import UpgradeResponse

_MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""More than the megabyte, and the number of a channel, that clients send at once."""
_GOODBYE_S = 2.0


class AiohttpSocket:
    """One open WebSocket."""

    def __init__(self, response: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._response = response
        self._transport = transport

    async def send(self, data: bytes | str) -> None:
        """Send one message; ConnectionError when the client has gone."""
        if isinstance(data, str):
            await self._response.send_str(data)
        else:
            await self._response.send_bytes(data)

    async def receive(self) -> bytes | str | None:
        """The next message; None when there will be none."""
        message = await self._response.receive()
        if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
            data: bytes | str = message.data
            return data
        return None

    async def close(self, last: bytes | str | None = None) -> None:
        """Say goodbye, in one piece with a last message if there is one; returns when the client
        has, or soon. ConnectionError when it has gone."""
        try:
            if last is not None:
                self._hold()
                await self.send(last)
        finally:
            await self._response.close()

    def _hold(self) -> None:
        """Let the kernel keep what is written now until this turn of the loop is over: aiohttp
        writes each frame for itself, and the client may act on the first before it has the next."""
        held: socket.socket | None = self._transport.get_extra_info("socket")
        if held is not None:
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            asyncio.get_running_loop().call_soon(self._let_go, held)

    def _let_go(self, held: socket.socket) -> None:
        if not self._transport.is_closing():
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


async def serve(request: web.BaseRequest, answer: UpgradeResponse) -> web.StreamResponse:
    """Upgrade the connection and hand it over; returns when it is closed."""
    response = web.WebSocketResponse(
        protocols=(answer.protocol,) if answer.protocol else (),
        max_msg_size=_MAX_MESSAGE_BYTES,
        timeout=_GOODBYE_S,
    )
    await response.prepare(request)
    if request.transport is None:
        raise ConnectionError("the client went away")
    await answer.serve(AiohttpSocket(response, request.transport))
    return response
