"""Connections on which plain requests are answered: order, memory, their end."""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import structlog
from aiohttp.web_response import Response
from apicluster import ADMIN, config_map
from patience import PATIENCE_S
from wireserver import Served, holding, request, serving

from kubeherd.cluster.apiserver.access.authn import Identity
from kubeherd.cluster.apiserver.edge import heads, http
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.plain import connection as plainconnection
from kubeherd.cluster.apiserver.edge.plain.connection import Connections, PlainConnection

CMS = "/api/v1/namespaces/default/configmaps"
UNREAD_BYTES = 512 * 1024
LARGE = 100_000
LONG_S = 3600.0
HUGE = 20_000_000
REQUESTS = 100


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


def keeping(path: str = CMS) -> bytes:
    return request(path=path, Connection="keep-alive")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as server:
        yield server


async def connected(served: Served, read_bytes: int = 0):
    """A reader, a writer, and the server's end; `read_bytes`: of the client's socket buffer."""
    there = set(served.http._connections.connections)
    client = socket.socket()
    if read_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_bytes)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", served.port))
    context: ssl.SSLContext = served.tls(*served.authority.identity("admin", "system:masters"))
    reader, writer = await asyncio.open_connection(
        sock=client, ssl=context, server_hostname="127.0.0.1"
    )
    await until(lambda: set(served.http._connections.connections) - there)
    (connection,) = set(served.http._connections.connections) - there
    assert isinstance(connection, PlainConnection)
    return reader, writer, connection


class Silent(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data) -> None:
        self.written += bytes(data)

    def writelines(self, pieces) -> None:
        self.write(b"".join(pieces))

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


def posted(name: str, **headers: str) -> bytes:
    body = json.dumps(config_map(name)).encode()
    length = str(len(body))
    sent = {"Connection": "keep-alive", "Content-Length": length, **headers}
    return request("POST", CMS, body, headers=sent)


HEAD_BYTES = posted("a").index(b"\r\n\r\n") + 4


async def answer_to(reader: asyncio.StreamReader) -> bytes:
    """The head of the next answer; its body is read, too."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return head


def come(connection: PlainConnection) -> int:
    """Bytes of a request of which there is a part."""
    return 0 if connection._partial is None else len(connection._partial.come)


def has_more(connection: PlainConnection, before: int) -> bool:
    return come(connection) > before


async def apart(served: Served, connection: PlainConnection, writer, *pieces: bytes) -> None:
    """Send pieces that come one by one."""
    for piece in pieces[:-1]:
        before = come(connection)
        writer.write(piece)
        await until(partial(has_more, connection, before))
    writer.write(pieces[-1])


@pytest.mark.parametrize("at", [HEAD_BYTES, HEAD_BYTES + 1, len(posted("a")) - 1])
async def test_a_plain_request_may_come_in_pieces(served: Served, at: int):
    """And the one after it, too: a client that sends head and body apart does so always."""
    reader, writer, connection = await connected(served)
    async with asyncio.timeout(PATIENCE_S):
        for name in ("a", "b"):
            sent = posted(name)
            await apart(served, connection, writer, sent[:at], sent[at:])
            assert (await answer_to(reader)).startswith(b"HTTP/1.1 201 ")
    assert connection._clean
    assert connection._partial is None
    writer.close()


async def test_after_a_whole_request_that_is_not_plain_others_are_plain(served: Served):
    reader, writer, connection = await connected(served)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(posted("a", Impersonate_User="root", Impersonate_Group="system:masters"))
        assert (await answer_to(reader)).startswith(b"HTTP/1.1 201 ")
        handled = connection._request_count
        writer.write(posted("b"))
        assert (await answer_to(reader)).startswith(b"HTTP/1.1 201 ")
    assert handled == connection._request_count == 1
    writer.close()


async def test_what_comes_with_the_rest_is_answered_in_order(served: Served):
    reader, writer, connection = await connected(served)
    sent, missing = posted("a"), keeping(f"{CMS}/nowhere")
    async with asyncio.timeout(PATIENCE_S):
        await apart(served, connection, writer, sent[:HEAD_BYTES], sent[HEAD_BYTES:] + missing)
        assert (await answer_to(reader)).startswith(b"HTTP/1.1 201 ")
        assert (await answer_to(reader)).startswith(b"HTTP/1.1 404 ")
    writer.close()


async def test_who_is_slow_with_the_rest_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plainconnection, "PARTIAL_S", 0.01)
    reader, writer, connection = await connected(served)
    sent = posted("a")
    async with asyncio.timeout(PATIENCE_S):
        writer.write(sent[:HEAD_BYTES])
        await until(lambda: not connection._clean)
        writer.write(sent[HEAD_BYTES:])
        assert (await answer_to(reader)).startswith(b"HTTP/1.1 201 ")
    writer.close()


async def test_a_client_that_goes_away_in_the_midst_of_a_request_leaves_no_timer(served: Served):
    _, writer, connection = await connected(served)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(posted("a")[:HEAD_BYTES])
        await until(lambda: connection._partial)
        begun = connection._partial
        writer.transport.abort()
        await until(lambda: begun is not None and begun.timer.cancelled())


async def test_a_get_among_writes_is_answered_in_the_step_in_which_it_comes(served: Served):
    """Where there are only reads, those that come together go on together."""
    connection, transport = served.http._connections(), Silent()
    connection.connection_made(transport)
    connection.identity = Identity(ADMIN)
    turns = served.api.services.turns
    for count, name in enumerate(("default", "kube-system"), 1):
        await until(lambda: connection._awaits_request() and not turns.busy)
        turns.spend(1)
        connection.data_received(keeping(f"/api/v1/namespaces/{name}"))
        assert transport.written.count(b"HTTP/1.1 200 OK") == count
    await until(lambda: connection._awaits_request() and not turns.busy)
    connection.data_received(keeping("/api/v1/namespaces/default"))
    assert transport.written.count(b"HTTP/1.1 200 OK") == count
    await until(lambda: transport.written.count(b"HTTP/1.1 200 OK") == count + 1)
    connection.connection_lost(None)


@pytest.mark.parametrize("turns", range(5))
async def test_a_plain_request_waits_for_the_answer_to_the_one_before(turns: int):
    """At whatever turn of the event loop it comes, also before aiohttp has begun; and the one after
    it waits for nobody."""
    may_end = asyncio.Event()

    async def slow(_request) -> Response:
        await may_end.wait()
        return Response(text="from aiohttp")

    async def plainly(connection: PlainConnection, _request) -> bool:
        return await connection.send(b"plain", b"")

    async def beats(_) -> None:
        raise AssertionError("none of them is a heartbeat")

    made = Connections(slow, plainly, lambda *_: False, beats, lambda: True)
    connection, transport = made(), Silent()
    connection.connection_made(transport)
    connection.data_received(keeping("/version"))
    for _ in range(turns):
        await asyncio.sleep(0)
    connection.data_received(keeping())
    for _ in range(10):
        await asyncio.sleep(0)
    assert transport.written == b""
    may_end.set()
    await until(lambda: transport.written.count(b"from aiohttp") > 1)
    await until(connection._awaits_request)
    connection.data_received(keeping())
    await until(lambda: b"plain" in transport.written)
    connection.connection_lost(None)


async def test_a_client_that_does_not_read_is_answered_no_more(served: Served):
    async with (
        served.admin() as session,
        session.post(CMS, json=config_map("a", k="v" * LARGE)) as made,
    ):
        assert made.status == 201
    reader, writer, connection = await connected(served, read_bytes=65536)
    writer.transport.pause_reading()
    handle, answered, written = served.api.handle, 0, 0

    async def counting(one):
        nonlocal answered
        answered += 1
        return await handle(one)

    served.api.handle = counting

    def all_answered() -> bool:
        return answered >= written or connection._held

    asked = keeping(f"{CMS}/a")
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(REQUESTS):
            writer.write(asked)
            written += 1
            await until(all_answered)
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < UNREAD_BYTES
        writer.transport.resume_reading()
        writer.write(request())
        received = await reader.read()
    assert received.count(b"HTTP/1.1 200 OK") == REQUESTS + 1
    writer.close()


async def test_a_watch_is_one_however_its_parameter_is_escaped(served: Served):
    reader, writer, _ = await connected(served)
    writer.write(keeping(f"{CMS}?%77atch=1&timeoutSeconds=1"))
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert b"chunked" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_client_that_goes_away_is_no_error(served: Served):
    async def large(_one) -> ApiResponse:
        return ApiResponse(200, b"x" * HUGE)

    served.api.handle = large
    _, writer, connection = await connected(served, read_bytes=65536)
    writer.transport.pause_reading()
    writer.write(keeping())
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: connection._paused)
            answering = connection._plain
            assert answering is not None
            writer.transport.abort()
            await answering
    assert logs == []


async def test_a_long_poll_is_given_up_when_its_client_goes_away(served: Served):
    _, writer, connection = await connected(served)
    writer.write(keeping(f"{CMS}?watch=1&poll=1&timeoutSeconds=3600&resourceVersion=1"))
    hub = served.api.services.store.hub
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: hub.watchers)
            assert connection._plain is not None
            writer.transport.abort()
            await until(lambda: not hub.watchers)
            await until(lambda: connection._plain is None)
    assert logs == []


async def test_a_plain_answer_says_when_it_is_the_last(
    served: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(heads, "MOVE_CHANCE", 1.0)
    reader, writer, connection = await connected(served)
    connection.shared = True
    writer.write(keeping())
    async with asyncio.timeout(PATIENCE_S):
        received = await reader.read()
    assert b"\r\nConnection: close\r\n" in received.partition(b"\r\n\r\n")[0]
    writer.close()


async def test_the_last_answer_of_a_server_that_stops_says_so(served: Served):
    arrived, may_go_on = holding(served)
    reader, writer, connection = await connected(served)
    writer.write(keeping())
    async with asyncio.timeout(PATIENCE_S):
        await arrived.wait()
        stopping = asyncio.create_task(served.http.stop())
        await until(lambda: connection.ending)
        may_go_on.set()
        received = await reader.read()
        await stopping
    assert b"\r\nConnection: close\r\n" in received.partition(b"\r\n\r\n")[0]
    writer.close()


async def test_what_does_not_end_in_time_is_given_up_when_the_server_stops(
    served: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http, "_SHUTDOWN_S", 0.05)
    arrived, given_up = asyncio.Event(), asyncio.Event()

    async def endless(_one):
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    served.api.handle = endless
    _, writer, _ = await connected(served)
    writer.write(keeping())
    async with asyncio.timeout(PATIENCE_S):
        await arrived.wait()
        await served.http.stop()
        await given_up.wait()
    writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux's sockets")
async def test_a_connection_that_ends_while_it_rests_leaves_its_place(served: Served):
    """There is room for so many; and its socket is kept no longer."""
    connections = served.http._connections
    connection = connections()
    connection.connection_made(Silent())
    raw, other = socket.socketpair()
    with raw, other:
        connection.raw = raw
        connections.resting.rest(raw, LONG_S)
        assert raw in connections.resting._rests
        connection.connection_lost(None)
        assert raw not in connections.resting._rests
