"""Commands over SPDY, as kubectl before 1.31 runs them: streams in process, and on a TLS socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from patience import PATIENCE_S
from spdypeer import Peer, data_frame
from wireserver import Served, serving, wire

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import outcome
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.streams import spdysession
from kubeherd.cluster.apiserver.streams.session import Session, Streams
from kubeherd.cluster.apiserver.streams.spdy import Decoder, Frame, Kind

PODS = "/api/v1/namespaces/default/pods"
ERROR, STDIN, STDOUT, RESIZE = 1, 3, 5, 7


def _opened(peer: Peer, **streams: int) -> list[bytes]:
    return [peer.opens(number, streamtype=name) for name, number in streams.items()]


async def _serve(peer: Peer, streams: Streams, *said: bytes) -> list[Frame]:
    """What a command that repeats its input in capitals sends."""

    async def shout(client: Session) -> JsonObject:
        client.on_resize(lambda columns, rows: sizes.append((columns, rows)))
        while (data := await client.read()) is not None:
            await client.write(Channel.STDOUT, data.upper())
        await client.write(Channel.STDOUT, repr(sizes).encode())
        return outcome.exited(3)

    sizes: list[tuple[int, int]] = []
    peer.says = list(said)
    async with asyncio.timeout(PATIENCE_S):
        await spdysession.serve(peer, streams, shout)
    assert peer.closed
    return [frame for frame in Decoder().feed(bytes(peer.heard)) if frame.kind is Kind.DATA]


BOTH = Streams(stdin=True, stdout=True, stderr=False, tty=False)
TERMINAL = Streams(stdin=True, stdout=True, stderr=False, tty=True)


async def test_each_stream_is_a_channel() -> None:
    peer = Peer()
    streams = _opened(peer, error=ERROR, stdin=STDIN, stdout=STDOUT)
    frames = await _serve(
        peer, BOTH, *streams, data_frame(STDIN, b"a"), data_frame(STDIN, b"b", fin=True)
    )
    assert [(f.stream, f.data) for f in frames[:3]] == [
        (STDOUT, b"A"),
        (STDOUT, b"B"),
        (STDOUT, b"[]"),
    ]
    status = json.loads(frames[3].data)
    assert (frames[3].stream, status["reason"]) == (ERROR, "NonZeroExitCode")
    assert {(f.stream, f.fin) for f in frames[4:]} == {
        (ERROR, True),
        (STDIN, True),
        (STDOUT, True),
    }


async def test_sizes_of_the_window_come_on_a_stream() -> None:
    peer = Peer()
    streams = _opened(peer, error=ERROR, stdin=STDIN, stdout=STDOUT, resize=RESIZE)
    sizes = b'{"Width":80,"Height":24}\n{"Width":9,"Height":2}\n'
    frames = await _serve(
        peer, TERMINAL, *streams, data_frame(RESIZE, sizes), data_frame(STDIN, b"", fin=True)
    )
    assert frames[0].data == b"[(80, 24), (9, 2)]"


@pytest.mark.parametrize(
    "more", [[], [data_frame(STDIN, b"x")] * 100, [b"\x80\x02\0\1\0\0\0\0"], [data_frame(99, b"")]]
)
async def test_the_command_does_not_begin_before_all_streams_are_there(more: list[bytes]) -> None:
    peer = Peer()
    assert await _serve(peer, BOTH, *_opened(peer, error=ERROR, stdin=STDIN), *more) == []


async def test_who_goes_early_has_said_all() -> None:
    peer = Peer()
    streams = _opened(peer, error=ERROR, stdin=STDIN, stdout=STDOUT)
    frames = await _serve(peer, BOTH, *streams, data_frame(STDIN, b"a"))
    assert [f.data for f in frames if f.stream == STDOUT and f.data] == [b"A", b"[]"]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served, served.admin() as admin:
        metadata = {
            "name": "p",
            "annotations": {
                "kubeherd.io/exec": '{"cat /x": "text"}',
                "kubeherd.io/port-forward": '{"80": "hello"}',
            },
        }
        spec = {"containers": [{"name": "c", "image": "x"}]}
        await admin.post(PODS, json={"metadata": metadata, "spec": spec})
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
        await admin.post(f"{PODS}/p/binding", json=binding)
        entry = {"name": "c", "containerID": "fake://1", "state": {"running": {}}}
        status = {"status": {"phase": "Running", "containerStatuses": [entry]}}
        kind = {"Content-Type": "application/merge-patch+json"}
        await admin.patch(f"{PODS}/p/status", json=status, headers=kind)
        yield served


def _upgrade(path: str, protocols: str) -> bytes:
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "Content-Length": "0"}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"X-Stream-Protocol-Version: {name}" for name in protocols.split()]
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


async def _said(served: Served, sent: bytes, then: bytes) -> tuple[str, list[Frame]]:
    """The head of the answer, and the frames with data until all streams have ended."""
    tls = served.tls(*served.authority.identity("admin", "system:masters"))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=tls)
    decoder, frames = Decoder(), list[Frame]()
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(then)
            while sum(frame.fin for frame in frames) < 2 and (data := await reader.read(65536)):
                frames += decoder.feed(data)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return head.decode(), [frame for frame in frames if frame.data]


async def test_exec_on_a_connection_of_its_own(served: Served) -> None:
    path = f"{PODS}/p/exec?command=cat&command=/x&stdout=true"
    streams = b"".join(_opened(Peer(), error=ERROR, stdout=STDOUT))
    sent = _upgrade(path, "v5.channel.k8s.io v4.channel.k8s.io")
    head, frames = await _said(served, sent, streams)
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in head
    assert [(f.stream, f.data) for f in frames] == [
        (STDOUT, b"text"),
        (ERROR, b'{"metadata": {}, "status": "Success"}'),
    ]


async def test_port_forward_on_a_connection_of_its_own(served: Served) -> None:
    peer = Peer()
    talk = peer.connects(0, "80") + data_frame(3, b"anybody there?")
    sent = _upgrade(f"{PODS}/p/portforward", "portforward.k8s.io")
    head, frames = await _said(served, sent, talk)
    assert head.startswith("HTTP/1.1 101 ")
    assert [(f.stream, f.data) for f in frames] == [(3, b"hello")]


async def test_what_is_no_spdy_ends_the_connection(served: Served) -> None:
    sent = _upgrade(f"{PODS}/p/attach?stdout=true", "v4.channel.k8s.io")
    received = await wire(served, sent, then=b"no SPDY at all")
    assert received.startswith(b"HTTP/1.1 101 ")


async def test_a_client_of_other_protocols_is_refused(served: Served) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    others = [("X-Stream-Protocol-Version", "v1.soap"), ("X-Stream-Protocol-Version", "v2.soap")]
    async with served.admin() as admin:
        for path in ("exec?command=ls&stdout=true", "portforward"):
            answer = await admin.post(f"{PODS}/p/{path}", headers=upgrade + others)
            assert answer.status == 403
            text = (await answer.json())["message"]
            assert "client supports [v1.soap v2.soap], server accepts [" in text
            answer = await admin.post(f"{PODS}/p/{path}", headers=upgrade)
            assert answer.status == 400
            text = (await answer.json())["message"]
            assert text.endswith("header X-Stream-Protocol-Version does not exist")
