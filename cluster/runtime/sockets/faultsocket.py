"""How a process is told which faults it carries out: a Unix socket that only its user can open.

One line of JSON is the whole list of faults that concern the process now (`kubeherd.faults`),
which replaces the one before, so that telling twice does no harm and a new process is told as an
old one. It answers with a line: empty when the faults are in force, else why they cannot be; then
those before stay. A frozen process finds the line when it goes on. Nothing is imported or made
before the first line comes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubeherd.cluster.runtime.sockets.unixsockets import bound_socket, forget, socket_address

if TYPE_CHECKING:
    from kubeherd.faults import Fault

MAX_LINE_BYTES = 16 * 1024 * 1024
_IO_TIMEOUT_S = 10.0

Begin = Callable[["Sequence[Fault]"], None]
"""Puts these faults in force and undoes all others; FaultError if one cannot be."""


@contextlib.asynccontextmanager
async def hurtable(path: Path | None, begin: Begin) -> AsyncIterator[None]:
    """While the body runs, take faults on the socket at `path` (None: on none)."""
    if path is None:
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            try:
                async with asyncio.timeout(_IO_TIMEOUT_S):
                    line = await reader.readline()
                    writer.write(_told(line, begin).encode() + b"\n")
                    await writer.drain()
            finally:
                writer.close()

    server = await asyncio.start_unix_server(answer, sock=bound_socket(path), limit=MAX_LINE_BYTES)
    try:
        yield
    finally:
        server.close()
        forget(path)


def _told(line: bytes, begin: Begin) -> str:
    from kubeherd.faults import FaultError  # noqa: PLC0415 - most processes are never hurt
    from kubeherd.faults.fault import decode_all  # noqa: PLC0415

    try:
        begin(decode_all(line))
    except FaultError as error:
        return str(error).replace("\n", " ")
    return ""


async def tell(path: Path, faults: "Sequence[Fault]", timeout_s: float) -> None:
    """Tell the process at `path` all faults that it carries out.

    FaultError if it cannot; OSError if nobody listens; TimeoutError after `timeout_s` real seconds,
    as of a frozen process: it will find them when it goes on.
    """
    from kubeherd.faults import FaultError  # noqa: PLC0415 - most clusters are never hurt
    from kubeherd.faults.fault import encode_all  # noqa: PLC0415

    async with asyncio.timeout(timeout_s):
        with socket_address(path) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            writer.write(encode_all(faults) + b"\n")
            await writer.drain()
            answer = await reader.readline()
        finally:
            writer.close()
    if not answer.endswith(b"\n"):
        raise ConnectionResetError("it ended before it answered")
    if why := answer.decode().strip():
        raise FaultError(why)
