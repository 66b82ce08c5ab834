"""The ways on which the kill suite cuts servers off: cut in a direction, mended, reset."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from kills import cut_route, netns
from kills.cut_link import BOTH, Cut, Direction, Link, Proxied
from kills.cut_route import routed

pytestmark = pytest.mark.integration

PATIENCE_S = 10.0


class Far:
    """Who answers at the other end; `heard` is what came there."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._served = 0
        self._tick = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served += 1
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard.append(line.decode().strip())
                self._tick.set()
                writer.write(b"heard " + line)
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
        self._served -= 1
        self._tick.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._tick.clear()
                await self._tick.wait()

    async def alone(self) -> None:
        """Nobody is connected any more."""
        await self.until(lambda: not self._served)


class Near:
    """Who speaks over one way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, link: Link) -> "Near":
        host, _, port = link.url.removeprefix("http://").partition(":")
        return cls(*await asyncio.wait_for(asyncio.open_connection(host, int(port)), PATIENCE_S))

    def say(self, what: str) -> None:
        self._writer.write(what.encode() + b"\n")

    async def answer(self, within_s: float = PATIENCE_S) -> str:
        line = await asyncio.wait_for(self._reader.readline(), within_s)
        return line.decode().strip()

    async def ask(self, what: str) -> str:
        self.say(what)
        return await self.answer()

    def close(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def ways(cut: Cut, far: Far) -> AsyncIterator[list[Link]]:
    """Two of them to the same server."""
    async with contextlib.AsyncExitStack() as stack:
        links: list[Link] = []
        if cut is Cut.NETNS:
            routes = stack.enter_context(routed(2))
            with netns.entered(routes.prefix[-1]):
                listener = socket.create_server(("", 0))
            links += routes.links(listener.getsockname()[1])
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            for _ in range(2):
                proxy = Proxied(listener.getsockname()[1])
                await proxy.start()
                stack.push_async_callback(proxy.close)
                links.append(proxy)
        await stack.enter_async_context(await asyncio.start_server(far.serve, sock=listener))
        yield links
        await far.alone()


@pytest.fixture(params=list(Cut))
def cut(request: pytest.FixtureRequest) -> Cut:
    if request.param is Cut.NETNS and (why := cut_route.impossible()):
        pytest.skip(why)
    return Cut(request.param)


@pytest.mark.parametrize("directions", [Direction.THERE, Direction.BACK, BOTH])
async def test_what_is_cut_is_held_up_until_it_is_mended(cut: Cut, directions: Direction):
    far = Far()
    async with ways(cut, far) as (link, other_link):
        near, other = await Near.connected(link), await Near.connected(other_link)
        assert await near.ask("before") == "heard before"
        link.cut(directions)
        near.say("cut")
        if directions is Direction.BACK:
            await far.until(lambda: "cut" in far.heard)
        assert await other.ask("beside it") == "heard beside it"
        assert ("cut" in far.heard) is (directions is Direction.BACK)
        with pytest.raises(TimeoutError):
            await near.answer(within_s=0.05)
        link.mend()
        assert await near.answer() == "heard cut"
        near.close()
        other.close()


async def test_a_reset_ends_the_connections_of_one_way(cut: Cut):
    far = Far()
    async with ways(cut, far) as (link, other_link):
        near, other = await Near.connected(link), await Near.connected(other_link)
        assert await near.ask("before") == "heard before"
        link.reset()
        with pytest.raises(ConnectionError):
            await near.ask("after")
        assert await other.ask("beside it") == "heard beside it"
        again = await Near.connected(link)
        assert await again.ask("again") == "heard again"
        for one in (near, other, again):
            one.close()


async def test_a_host_that_has_forgotten_is_not_heard_while_the_way_is_cut():
    if why := cut_route.impossible():
        pytest.skip(why)
    far = Far()
    async with ways(Cut.NETNS, far) as (link, _):
        near = await Near.connected(link)
        assert await near.ask("before") == "heard before"
        link.cut(BOTH)
        link.reset()
        near.say("to nobody")
        with pytest.raises(TimeoutError):
            await near.answer(within_s=0.05)
        link.mend()
        with pytest.raises(ConnectionError):
            await near.answer()
        near.close()
