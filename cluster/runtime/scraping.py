"""How others get to see what a process counts: a Unix socket that only its user can open.

Who connects gets the text and then the end. Nothing is made before, and no port is taken: the API
server asks for those who may (`apiserver.handlers.scrapes`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from kubeherd.cluster.runtime.metrics import Family, exposition
from kubeherd.cluster.runtime.unixsockets import bound_socket, forget, socket_address

_WRITE_TIMEOUT_S = 10.0


@contextlib.asynccontextmanager
async def scraped(
    path: Path | None, families: Callable[[], Iterable[Family]]
) -> AsyncIterator[None]:
    """While the body runs, answer with the families on the socket at `path` (None: on none)."""
    if path is None:
        yield
        return

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            try:
                writer.write(exposition(families()))
                await asyncio.wait_for(writer.drain(), _WRITE_TIMEOUT_S)
            finally:
                writer.close()

    server = await asyncio.start_unix_server(answer, sock=bound_socket(path))
    try:
        yield
    finally:
        server.close()
        forget(path)


async def scrape(path: Path) -> bytes:
    """The text of the process that listens at `path`; OSError if none does."""
    with socket_address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        return await reader.read()
    finally:
        writer.close()
