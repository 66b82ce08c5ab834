"""New addresses for whoever is the user that runs the dashboard: on a Unix socket of his."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from kubeherd.cluster.runtime.unixsockets import bound_socket, forget

_WRITE_TIMEOUT_S: Final = 10.0


@contextlib.asynccontextmanager
async def opened(path: Path | None, address: Callable[[], str]) -> AsyncIterator[None]:
    """While the body runs, tell whoever connects to `path` an address (None: nobody)."""
    if path is None:
        yield
        return

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            try:
                writer.write(address().encode() + b"\n")
                await asyncio.wait_for(writer.drain(), _WRITE_TIMEOUT_S)
            finally:
                writer.close()

    server = await asyncio.start_unix_server(answer, sock=bound_socket(path))
    try:
        yield
    finally:
        server.close()
        forget(path)
