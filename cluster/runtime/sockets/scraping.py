"""How others get to see what a process counts: a Unix socket that only its user can open.

Nothing is made before somebody asks, and no port is taken: the API server asks for those who may
(`apiserver.handlers.scrapes`).
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from kubeherd.cluster.runtime.metrics import Family, exposition
from kubeherd.cluster.runtime.sockets.answering import answering
from kubeherd.cluster.runtime.sockets.unixsockets import socket_address


def scraped(
    path: Path | None, families: Callable[[], Iterable[Family]]
) -> AbstractAsyncContextManager[None]:
    """While the body runs, answer with the families on the socket at `path` (None: on none)."""
    return answering(path, lambda: exposition(families()))


async def scrape(path: Path) -> bytes:
    """The text of the process that listens at `path`; OSError if none does."""
    with socket_address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        return await reader.read()
    finally:
        writer.close()
