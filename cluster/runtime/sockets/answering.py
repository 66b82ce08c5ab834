"""A Unix socket on which a process says one thing: who connects gets it, and then the end.

Only the user whose process it is can open it. Nothing is made before somebody asks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from kubeherd.cluster.runtime.sockets.unixsockets import bound_socket, forget

_WRITE_TIMEOUT_S = 10.0


@contextlib.asynccontextmanager
async def answering(path: Path | None, text: Callable[[], bytes]) -> AsyncIterator[None]:
    """While the body runs, answer on a socket at `path` (None: on none). OSError if it cannot be
    made."""
    if path is None:
        yield
        return

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            try:
                writer.write(text())
                await asyncio.wait_for(writer.drain(), _WRITE_TIMEOUT_S)
            finally:
                writer.close()

    server = await asyncio.start_unix_server(answer, sock=bound_socket(path))
    try:
        yield
    finally:
        server.close()
        forget(path)
