"""Reading and writing file descriptors in asyncio, which stay the caller's to close.

With asyncio's own pipes, waiting for a process means waiting for everybody who holds its pipes.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

_CHUNK_BYTES: Final = 32 * 1024


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What can be read from a non-blocking descriptor, until its end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            await _ready(descriptor, loop.add_reader, loop.remove_reader)
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                return  # the end of a terminal: nobody has it open any more
            raise
        if not data:
            return
        yield data


async def write(descriptor: int, data: bytes) -> None:
    """Write all of it to a non-blocking descriptor; BrokenPipeError if nobody reads any more."""
    loop = asyncio.get_running_loop()
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await _ready(descriptor, loop.add_writer, loop.remove_writer)


async def _ready(descriptor: int, add: Callable[..., Any], remove: Callable[[int], object]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, tell)
    try:
        await ready
    finally:
        remove(descriptor)
