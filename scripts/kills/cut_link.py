"""The way of a server to its etcd, which can be cut: in one direction, in both, or for good.

Two kinds of it (`Cut`): a proxy, which holds back what it was given and needs no rights, and a
route between network namespaces, where packets are lost and the kernels at both ends notice it in
their own time (`kills.cut_route`).
"""

import asyncio
from enum import Flag, StrEnum
from typing import Protocol


class Cut(StrEnum):
    """How ways are cut."""

    PROXY = "proxy"
    NETNS = "netns"


class Direction(Flag):
    """As seen by who connects."""

    THERE = 1
    BACK = 2


BOTH = Direction.THERE | Direction.BACK


class Link(Protocol):
    """One server's way."""

    url: str
    """What the server is told of where etcd is."""

    def cut(self, directions: Direction) -> None:
        """Let nothing through any more."""

    def mend(self) -> None:
        """Let everything through."""

    def reset(self) -> None:
        """End every connection now, as a host does that has forgotten it."""


class Proxied:
    """A `Link` that forwards from a port of its own on loopback to another.

    What is on its way when a direction is cut arrives when it is mended; so do new connections.
    """

    def __init__(self, to_port: int) -> None:
        self.url = ""
        self._to_port = to_port
        self._open = {direction: asyncio.Event() for direction in BOTH}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.mend()

    async def start(self) -> None:
        """Listen at `url`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self, directions: Direction) -> None:
        """As `Link.cut`."""
        for direction in directions:
            self._open[direction].clear()

    def mend(self) -> None:
        """As `Link.mend`; what has waited comes first."""
        for opened in self._open.values():
            opened.set()

    def reset(self) -> None:
        """As `Link.reset`."""
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
