"""The dashboard's socket, on loopback only, and its end in order."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket
from typing import Final

from aiohttp.web_server import Server

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.runtime.listening import listen
from kubeherd.dashboard.app import App

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 8899
MAX_CONNECTIONS: Final = 128
_SHUTDOWN_S: Final = 2.0


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
    server = Server(app.handle, access_log=None)

    def connection() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < MAX_CONNECTIONS else _Full()

    listener = await asyncio.get_running_loop().create_server(connection, sock=on)
    try:
        yield
    finally:
        listener.close()
        app.end_streams()
        await server.shutdown(_SHUTDOWN_S)


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
