"""SPDY inside of a WebSocket: frames, and the conversations that kubectl has through it."""

import asyncio
import struct
import zlib

import pytest
from patience import PATIENCE_S
from spdypeer import Peer, data_frame

from kubeherd.cluster.apiserver.streams import spdy, tunnel
from kubeherd.cluster.apiserver.streams.forwarding import Send
from kubeherd.cluster.apiserver.streams.inbox import Inbox
from kubeherd.cluster.apiserver.streams.spdy import Decoder, Frame, Kind, SpdyError


async def _echo(port: int, inbox: Inbox, send: Send) -> str:
    while data := await inbox.get():
        await send(data.upper())
    return "" if port == 80 else f"no {port}"


async def _serve(*said: bytes, peer: Peer) -> list[Frame]:
    peer.says = list(said)
    async with asyncio.timeout(PATIENCE_S):
        await tunnel.serve(peer, _echo)
    assert peer.closed
    return list(Decoder().feed(bytes(peer.heard)))


def test_the_dictionary_is_that_of_spdy_3() -> None:
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_frames_come_in_any_pieces() -> None:
    peer = Peer()
    raw = peer.opens(1, streamtype="error", port="80") + data_frame(1, b"hello", fin=True)
    decoder = Decoder()
    frames = [frame for byte in raw for frame in decoder.feed(bytes((byte,)))]
    assert frames == [
        Frame(Kind.SYN_STREAM, 1, False, b"", {"streamtype": "error", "port": "80"}),
        Frame(Kind.DATA, 1, True, b"hello"),
    ]


async def test_a_conversation_ends_both_of_its_streams() -> None:
    peer = Peer()
    frames = await _serve(
        peer.connects(0, "80"),
        data_frame(3, b"a"),
        data_frame(3, b"b"),
        data_frame(3, b"", fin=True),
        peer=peer,
    )
    assert [(f.kind, f.stream) for f in frames[:2]] == [(Kind.SYN_REPLY, 1), (Kind.SYN_REPLY, 3)]
    assert frames[2:] == [
        Frame(Kind.DATA, 3, False, b"A"),
        Frame(Kind.DATA, 3, False, b"B"),
        Frame(Kind.DATA, 1, True, b""),
        Frame(Kind.DATA, 3, True, b""),
    ]


async def test_conversations_are_apart_and_may_fail() -> None:
    peer = Peer()
    both = peer.connects(0, "80") + peer.connects(1, "81")
    frames = await _serve(
        both, data_frame(7, b"x"), data_frame(3, b"y"), data_frame(7, b"", fin=True), peer=peer
    )
    assert [frame for frame in frames[4:] if frame.stream == 3] == [
        Frame(Kind.DATA, 3, False, b"Y")
    ]
    assert [frame for frame in frames[4:] if frame.stream != 3] == [
        Frame(Kind.DATA, 7, False, b"X"),
        Frame(Kind.DATA, 5, True, b"no 81"),
        Frame(Kind.DATA, 7, True, b""),
    ]


async def test_pings_are_answered_and_unknown_frames_are_not() -> None:
    peer = Peer()
    ping = struct.pack(">HHII", 0x8003, 6, 4, 9)
    settings = struct.pack(">HHII", 0x8003, 4, 4, 0)
    goaway = struct.pack(">HHIII", 0x8003, 7, 8, 0, 0)
    frames = await _serve(settings, ping, data_frame(99, b"stray"), goaway, peer=peer)
    assert frames == [Frame(Kind.PING, 9)]


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">HHI", 0x8002, 1, 0),
        struct.pack(">II", 1, 0xFFFFFF),
        struct.pack(">HHI", 0x8003, 1, 14) + b"\0\0\0\1" + b"x" * 10,
        Peer().opens(1, streamtype="x" * (spdy.MAX_HEADER_BYTES + 1)),
    ],
)
def test_what_is_no_spdy_is_refused(raw: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Decoder().feed(raw))


async def test_what_makes_no_sense_ends_the_connection() -> None:
    peer = Peer()
    await _serve(peer.connects(0, "http"), peer=peer)
    peer = Peer()
    many = b"".join(peer.connects(number, "80") for number in range(tunnel.MAX_STREAMS))
    frames = await _serve(many, peer=peer)
    assert sum(frame.kind is Kind.SYN_REPLY for frame in frames) < 2 * tunnel.MAX_STREAMS


async def test_nobody_waits_for_a_reader_that_has_left() -> None:
    inbox = Inbox()
    for _ in range(16):
        await inbox.put(b"x")
    late = asyncio.create_task(inbox.put(b"x"))
    await asyncio.sleep(0)
    assert not late.done()
    inbox.close()
    async with asyncio.timeout(PATIENCE_S):
        await late
        for _ in range(100):
            await inbox.put(b"x")
