"""The dashboard's socket, on loopback only, and its end in order."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket
from typing import Any, Final

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.runtime.sockets.listening import listen
from kubeherd.dashboard.web.app import App

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 8899
MAX_CONNECTIONS: Final = 128
_SHUTDOWN_S: Final = 2.0
_silent = logging.getLogger(__name__)
_silent.disabled = True
_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,  # addresses are secrets
    "logger": _silent,  # it quotes what is no HTTP; what fails in `App` is logged there
    "keepalive_timeout": 60.0,
    "auto_decompress": False,
}
_SILENT_S: Final = 30.0
"""So long the first request of a connection may take."""


def listening(port: int | None) -> socket:
    """A socket on this port; none given: the usual one, or if that is taken any. KubeherdError."""
    try:
        return listen(HOST, USUAL_PORT if port is None else port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and port is None:
            return listen(HOST, 0)
        why = "is in use: choose one with --port" if error.errno == errno.EADDRINUSE else ""
        raise KubeherdError(f"port {port} {why or error.strerror}") from None


@asynccontextmanager
async def serving(app: App, on: socket) -> AsyncIterator[None]:
    """Answer while the body runs."""
    server, loop = Server(app.handle), asyncio.get_running_loop()

    def connection() -> asyncio.BaseProtocol:
        full = len(server.connections) >= MAX_CONNECTIONS
        return _Full() if full else _Connection(server, loop=loop, **_OPTIONS)

    listener = await loop.create_server(connection, sock=on)
    try:
        yield
    finally:
        listener.close()
        app.end_streams()
        server.pre_shutdown()  # ends what idles, which every browser has some of
        await server.shutdown(_SHUTDOWN_S)


class _Connection(RequestHandler):
    """One connection: it ends if no request comes for long after it was made."""

    __slots__ = ("_silence",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._silence = self._loop.call_later(_SILENT_S, self._end_of_silence)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._silence.cancel()
        super().connection_lost(exc)

    def _end_of_silence(self) -> None:
        if not self._request_count and self._current_request is None:
            self.force_close()


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
