"""gRPC calls on a socket: messages of streams, deadlines, pings, servers that go or never were."""

import asyncio
import importlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("hpack", reason="the extra etcd is not installed")
frames = importlib.import_module("kubeherd.cluster.store.etcd.grpc.frames")
headers = importlib.import_module("kubeherd.cluster.store.etcd.grpc.headers")
calls = importlib.import_module("kubeherd.cluster.store.etcd.grpc.calls")
channels = importlib.import_module("kubeherd.cluster.store.etcd.grpc.channel")
status = importlib.import_module("kubeherd.cluster.store.etcd.grpc.status")

OK = headers.encode([("grpc-status", "0")])
LAST = frames.END_HEADERS | frames.END_STREAM


class Wire:
    """Counts what calls say is consumed."""

    def __init__(self) -> None:
        self.size = 0
        self.cancelled: list[Any] = []

    def consumed(self, _stream: Any, size: int) -> None:
        self.size += size

    def send(self, _stream: Any, body: bytes) -> None:
        raise AssertionError(body)

    def cancel(self, stream: Any) -> None:
        self.cancelled.append(stream)


@given(
    messages=st.lists(st.binary(max_size=20), max_size=5),
    places=st.lists(st.integers(0, 200), max_size=6),
)
def test_messages_are_the_same_however_they_are_cut(
    messages: list[bytes], places: list[int]
) -> None:
    """And what is told to be consumed is what was read, and the begin of what is not whole."""
    wire = Wire()
    stream = calls.Messages(wire)
    data = b"".join(map(calls.framed, messages))
    begin = 0
    for place in [*sorted(place % (len(data) + 1) for place in places), len(data)]:
        stream.received(data[begin:place])
        begin = place
    unread = wire.size
    read = []
    while (message := stream.take()) is not None:
        read.append(message)
    assert read == messages
    assert unread <= wire.size == len(data)


async def test_a_stream_says_how_it_ended_after_all_that_came() -> None:
    for code, raised in (("OK", False), ("UNAVAILABLE", True)):
        stream = calls.Messages(Wire())
        stream.received(calls.framed(b"a"))
        stream.ended(code, "why")
        stream.write(b"late")
        assert await stream.read() == b"a"
        if raised:
            with pytest.raises(status.CallError, match="why"):
                await stream.read()
        else:
            assert await stream.read() is None


async def test_a_compressed_message_ends_a_stream() -> None:
    stream = calls.Messages(wire := Wire())
    stream.received(b"\x01\0\0\0\x01a")
    assert wire.cancelled == [stream]
    with pytest.raises(status.CallError, match="compressed"):
        await stream.read()


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "no whole"), (b"\0\0\0\0\x02a", "no whole"), (b"\x01\0\0\0\x01a", "compressed")],
)
async def test_an_answer_is_one_whole_message(data: bytes, why: str) -> None:
    call = calls.Unary(Wire(), 0.0, 0.0)
    call.received(data)
    call.ended("OK", "")
    with pytest.raises(status.CallError, match=why):
        await call.answer


async def test_an_answer_that_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_MESSAGE_BYTES", 3)
    call = calls.Unary(wire := Wire(), 0.0, 0.0)
    call.received(bytes(4))
    assert wire.cancelled == [call]
    with pytest.raises(status.CallError, match="too large"):
        await call.answer


# --- on a socket ---


class Peer:
    """The server's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def greet(self) -> None:
        assert await self._reader.readexactly(len(frames.PREFACE)) == frames.PREFACE
        self.writer.write(frames.settings({}))

    async def until(self, kind: int) -> tuple[int, int, bytes]:
        """Flags, stream and payload of the next frame of a kind."""
        while True:
            high, low, came, flags, stream_id = struct.unpack(
                ">HBBBI", await self._reader.readexactly(9)
            )
            payload = await self._reader.readexactly(high << 8 | low)
            if came == kind:
                return flags, stream_id, payload

    async def answer(self, message: bytes) -> None:
        _, stream_id, _ = await self.until(frames.DATA)
        self.writer.write(frames.frame(frames.DATA, 0, stream_id, calls.framed(message)))
        self.writer.write(frames.frame(frames.HEADERS, LAST, stream_id, OK))


class Noting:
    """A transport that notes what is written."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self._transport, self._written = transport, written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[int]:
    """The port of a server that does this with each connection, and then nothing."""
    failures: list[Exception] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await script(Peer(reader, writer))
        except asyncio.IncompleteReadError:
            pass  # the client has closed
        except Exception as error:
            failures.append(error)

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
    assert not failures


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[Any]:
    async def greeting(peer: Peer) -> None:
        await peer.greet()
        await script(peer)

    async with serving(greeting) as port:
        channel = await channels.connect(("127.0.0.1", port), None, 5.0)
        try:
            async with asyncio.timeout(10):
                yield channel
        finally:
            channel.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_a_call_is_answered() -> None:
    said: list[dict[str, str]] = []

    async def script(peer: Peer) -> None:
        _, _, block = await peer.until(frames.HEADERS)
        said.append(dict(importlib.import_module("hpack").Decoder().decode(block)))
        await peer.answer(b"answer")

    async with connected(script) as channel:
        channel.introduce([("hasleader", "true")], [("token", "t")])
        assert await channel.ask("/a.B/C", b"question", 5.0) == b"answer"
    assert said[0][":path"] == "/a.B/C"
    assert said[0]["grpc-timeout"] == "5000m"
    assert (said[0]["hasleader"], said[0]["token"]) == ("true", "t")


async def test_what_is_asked_in_one_turn_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        for number in range(10):
            await peer.answer(b"%d" % number)

    async with connected(script) as channel:
        await channel.ask("/a", b"", 5.0)
        written: list[bytes] = []
        monkeypatch.setattr(channel, "_transport", Noting(channel._transport, written))
        answers = await asyncio.gather(*(channel.ask("/a", b"", 5.0) for _ in range(9)))
        assert answers == [b"%d" % number for number in range(1, 10)]
        assert len(written) == 1


async def test_a_call_ends_when_its_time_is_over() -> None:
    reset: list[int] = []

    async def script(peer: Peer) -> None:
        reset.append((await peer.until(frames.RST_STREAM))[1])
        await peer.answer(b"next")

    async with connected(script) as channel:
        with pytest.raises(status.CallError, match="DEADLINE_EXCEEDED: no answer in time"):
            await channel.ask("/a", b"", 0.05)
        assert await channel.ask("/a", b"", 5.0) == b"next"
        assert reset == [1]


async def test_who_does_not_wait_any_more_tells_the_server() -> None:
    reset = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.until(frames.RST_STREAM)
        reset.set()

    async with connected(script) as channel:
        asking = asyncio.create_task(channel.ask("/a", b"", 60.0))
        await asyncio.sleep(0)
        asking.cancel()
        await reset.wait()
        assert not channel._asked


async def test_a_server_that_is_silent_is_pinged_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PING_AFTER_S", 0.05)
    monkeypatch.setattr(channels, "PING_ANSWER_S", 0.05)
    pings: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            payload = (await peer.until(frames.PING))[2]
            pings.append(payload)
            peer.writer.write(frames.frame(frames.PING, frames.ACK, 0, payload))

    async with connected(script) as channel:
        stream = channel.stream("/watch")
        with pytest.raises(status.CallError, match="does not answer a ping"):
            await stream.read()
        assert len(pings) == 2
        assert not channel.ready


async def test_a_server_that_answers_no_call_is_pinged_though_nobody_asks_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "PING_ANSWER_S", 0.05)

    async def script(peer: Peer) -> None:
        await peer.until(frames.PING)

    async with connected(script) as channel:
        with pytest.raises(status.CallError, match="no answer in time"):
            await channel.ask("/a", b"", 0.05)
        await until(lambda: not channel.ready)


async def test_a_connection_that_nobody_uses_is_left_alone() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"")

    async with connected(script) as channel:
        await channel.ask("/a", b"", 0.2)
        await until(lambda: channel._timer is None)
        assert channel.ready


async def test_a_server_that_goes_away_answers_what_it_began() -> None:
    async def script(peer: Peer) -> None:
        _, stream_id, _ = await peer.until(frames.DATA)
        peer.writer.write(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", stream_id, 0)))
        await peer.until(frames.RST_STREAM)
        peer.writer.write(frames.frame(frames.DATA, 0, stream_id, calls.framed(b"last")))
        peer.writer.write(frames.frame(frames.HEADERS, LAST, stream_id, OK))

    async with connected(script) as channel:
        stream = channel.stream("/watch")
        asking = asyncio.create_task(channel.ask("/a", b"", 5.0))
        await until(lambda: not channel.ready)
        with pytest.raises(status.CallError, match="NOT_CARRIED_OUT"):
            await channel.ask("/b", b"", 5.0)
        stream.cancel()
        assert await asking == b"last"
        await until(lambda: channel.closed)


async def test_a_connection_that_breaks_ends_all() -> None:
    async def script(peer: Peer) -> None:
        await peer.until(frames.DATA)
        peer.writer.transport.abort()

    async with connected(script) as channel:
        stream = channel.stream("/watch")
        with pytest.raises(status.CallError, match="UNAVAILABLE: the connection broke"):
            await channel.ask("/a", b"", 5.0)
        with pytest.raises(status.CallError, match="the connection broke"):
            await stream.read()
        with pytest.raises(status.CallError, match="NOT_CARRIED_OUT: the connection broke"):
            await channel.ask("/a", b"", 5.0)


async def test_what_is_garbled_breaks_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.until(frames.DATA)
        peer.writer.write(b"\xff" * 9)

    async with connected(script) as channel:
        with pytest.raises(status.CallError, match="does not speak HTTP/2 as it should"):
            await channel.ask("/a", b"", 5.0)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x15\x03\x01\0\x02\x02\x16"]
)
async def test_what_is_no_grpc_server_is_not_connected_to(said: bytes) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(said)
        peer.writer.close()

    async with serving(script) as port:
        with pytest.raises(status.CallError, match="perhaps https where it wants http"):
            await channels.connect(("127.0.0.1", port), None, 5.0)


async def test_who_says_nothing_is_not_waited_for() -> None:
    async def script(peer: Peer) -> None:
        await peer.until(frames.PING)

    async with serving(script) as port:
        with pytest.raises(status.CallError, match="no answer in time"):
            await channels.connect(("127.0.0.1", port), None, 0.05)


async def test_nobody_listens() -> None:
    async with serving(lambda _: asyncio.sleep(0)) as port:
        pass
    with pytest.raises(status.CallError, match="Connection refused"):
        await channels.connect(("127.0.0.1", port), None, 5.0)
