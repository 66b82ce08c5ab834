"""aiohttp's WebSocket as a `Socket` of a session."""

from aiohttp import WSMsgType, web

from kubeherd.cluster.apiserver.edge.messages import UpgradeResponse

_MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""More than the megabyte, and the number of a channel, that clients send at once."""
_GOODBYE_S = 2.0


class AiohttpSocket:
    """One open WebSocket."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response = response

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

    async def close(self) -> None:
        """Say goodbye; returns when the client has, or soon."""
        await self._response.close()


async def serve(request: web.BaseRequest, answer: UpgradeResponse) -> web.StreamResponse:
    """Upgrade the connection and hand it over; returns when it is closed."""
    response = web.WebSocketResponse(
        protocols=(answer.protocol,) if answer.protocol else (),
        max_msg_size=_MAX_MESSAGE_BYTES,
        timeout=_GOODBYE_S,
    )
    await response.prepare(request)
    await answer.serve(AiohttpSocket(response))
    return response
