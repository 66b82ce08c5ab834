"""A connection between two processes that can be cut: in one direction, in both, or for good.

What is on its way when a direction is cut arrives when it is mended, as TCP has it; so do new
connections. `reset` ends what there is, as a host does that has forgotten it.
"""

import asyncio
from enum import Flag


class Direction(Flag):
    """As seen by who connects."""

    THERE = 1
    BACK = 2


BOTH = Direction.THERE | Direction.BACK


class Link:
    """Forwards from a port of its own on loopback to another."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._open = {direction: asyncio.Event() for direction in BOTH}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0
        self.mend()

    async def start(self) -> None:
        """Listen at `port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, directions: Direction) -> None:
        """Let nothing through any more."""
        for direction in directions:
            self._open[direction].clear()

    def mend(self) -> None:
        """Let everything through, what has waited first."""
        for opened in self._open.values():
            opened.set()

    def reset(self) -> None:
        """End every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Accept nothing more, end what there is."""
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in it
        self._tasks.add(task)
        writers = {writer}
        self._writers |= writers
        try:
            await self._open[Direction.THERE].wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            writers.add(far_writer)
            self._writers.add(far_writer)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer, self._open[Direction.THERE]))
                tasks.create_task(self._pump(far_reader, writer, self._open[Direction.BACK]))
        except* OSError:
            pass  # the other end is gone, so this one goes, too
        finally:
            for one in writers:
                one.close()
            self._writers -= writers
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await opened.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
