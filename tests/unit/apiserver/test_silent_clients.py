"""Clients that say nothing, say it slowly, or do not listen: each has its time and its share."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog
from apicluster import config_map
from patience import PATIENCE_S
from wireserver import Served, request, serving

from kubeherd.cluster.apiserver.edge import listener

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A server with no patience."""
    for module in ("connection", "listener"):
        monkeypatch.setattr(f"kubeherd.cluster.apiserver.edge.{module}.HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr("kubeherd.cluster.apiserver.edge.plain.connection.IDLE_TIMEOUT_S", 0.3)
    monkeypatch.setattr("kubeherd.cluster.apiserver.edge.connection.WRITE_TIMEOUT_S", 0.3)
    async with serving(tmp_path) as server:
        yield server


async def ended(reader: asyncio.StreamReader, keep_sending: Callable[[], None]) -> bytes:
    """What comes until the server closes; `keep_sending` is called in between."""
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                chunk = await asyncio.wait_for(reader.read(65536), 0.05)
            except TimeoutError:
                keep_sending()
            except OSError:
                return received
            else:
                received += chunk
                if not chunk:
                    return received


async def connected(
    served: Served, *, secure: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = served.tls() if secure else None
    return await asyncio.open_connection("127.0.0.1", served.port, ssl=context)


@pytest.mark.parametrize(
    ("secure", "first", "then"),
    [
        pytest.param(False, b"", b"", id="nothing at all"),
        pytest.param(False, b"\x16\x03\x01", b"", id="half a handshake"),
        pytest.param(False, b"\x16\x03\x01\x02\x00\x01", b"\0", id="a trickled handshake"),
        pytest.param(True, b"", b"", id="no request"),
        pytest.param(True, b"GET /version HTTP/1.1\r\nHost: x\r\n", b"", id="half a header"),
        pytest.param(True, b"GET /version HTTP/1.1\r\n", b"a: b\r\n", id="a trickled header"),
        pytest.param(True, request(Connection="keep-alive"), b"", id="idle"),
        pytest.param(
            True,
            request(Connection="keep-alive") + b"GET /version HTTP/1.1\r\n",
            b"a: b\r\n",
            id="a trickled second request",
        ),
    ],
)
async def test_who_sends_no_request_is_disconnected(
    hasty: Served, secure: bool, first: bytes, then: bytes
) -> None:
    reader, writer = await connected(hasty, secure=secure)
    with contextlib.closing(writer):
        writer.write(first)
        answers = await ended(reader, lambda: writer.write(then))
    assert answers.count(b" 200 OK") == (1 if b"keep-alive" in first else 0)


async def test_who_has_sent_a_request_is_not(hasty: Served) -> None:
    async with hasty.admin() as session, session.get(f"{CMS}?watch=1&timeoutSeconds=2") as answer:
        async with asyncio.timeout(PATIENCE_S):
            assert await answer.content.read() == b""


def unread(served: Served, path: str) -> ssl.SSLSocket:
    """A client that asks and never reads."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", served.port))
    identity = served.authority.identity("admin", "system:masters")
    secure = served.tls(*identity).wrap_socket(plain, server_hostname="localhost")
    secure.sendall(request(path=path))
    return secure


async def filled(served: Served, objects: int, size_bytes: int) -> None:
    async with served.admin() as session:
        for number in range(objects):
            body = config_map(f"c{number}", v="v" * size_bytes)
            async with session.post(CMS, json=body) as response:
                assert response.status == 201


def unread_bytes(served: Served) -> int:
    """The most that a transport holds because its client does not read; 0 if all clients do."""
    connections = served.http._connections.connections
    held = [c.transport for c in connections if c.writing_paused and c.transport is not None]
    return max([transport.get_write_buffer_size() for transport in held], default=0)


@pytest.mark.parametrize("query", ["", "?watch=1&resourceVersion=0", "?watch=1&poll=1&"])
@pytest.mark.parametrize(("objects", "size_bytes"), [(300, 20_000), (8, 1_000_000)])
async def test_what_nobody_reads_is_not_made(
    tmp_path: Path, objects: int, size_bytes: int, query: str
) -> None:
    async with serving(tmp_path) as served:
        before = served.http._api.services.store.revision
        await filled(served, objects, size_bytes)
        if query.endswith("&"):
            query += f"resourceVersion={before}"
        client = await asyncio.to_thread(unread, served, CMS + query)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not unread_bytes(served):  # noqa: ASYNC110 - transports have no event
                    await asyncio.sleep(0.01)
            async with served.session() as session, session.get("/readyz") as response:
                assert response.status == 200
            assert 0 < unread_bytes(served) < 512 * 1024
        finally:
            client.close()


@pytest.mark.parametrize("query", ["", "?watch=1&resourceVersion=0"])
async def test_who_does_not_read_is_disconnected(hasty: Served, query: str) -> None:
    await filled(hasty, 10, 1_000_000)
    hub = hasty.http._api.services.store.hub
    client = await asyncio.to_thread(unread, hasty, CMS + query)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while hasty.http._connections.open or hub.watchers:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    finally:
        client.close()


async def test_an_unfinished_answer_can_be_read_to_its_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, served.admin() as session:
        await filled(served, 10, 300_000)
        async with session.get(CMS, headers={"Accept-Encoding": "identity"}) as response:
            body = await response.read()
            assert len(body) == int(response.headers["Content-Length"]) > 3_000_000
        names = [item["metadata"]["name"] for item in json.loads(body)["items"]]
        assert names == [f"c{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("secure", "first"), [(False, b""), (False, b"\x16\x03\x01"), (True, b"")],
    ids=["nothing", "half a handshake", "no request"],
)  # fmt: skip
async def test_when_all_connections_are_taken_the_silent_make_room(
    tmp_path: Path, secure: bool, first: bytes
) -> None:
    async with serving(tmp_path, max_connections=8) as served, contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(served.admin())
        async with session.get("/version") as response:
            assert response.status == 200
        streams = []
        with structlog.testing.capture_logs() as logs:
            for _ in range(20):
                streams.append(await connected(served, secure=secure))
                stack.callback(streams[-1][1].transport.abort)
                streams[-1][1].write(first)
            async with (
                asyncio.timeout(PATIENCE_S),
                served.session() as other,
                other.get("/version") as response,
            ):
                assert response.status == 200
        assert [log["event"] for log in logs] == ["connections_exhausted"]
        async with session.get("/version") as response:  # on the connection it had
            assert response.status == 200
        assert served.http._connections.open <= 8


CLIENT = """
import socket, ssl, sys
port, cafile = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=cafile)
sys.stdin.readline()
silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10),
                         server_hostname="localhost") as client:
    client.sendall(b"GET /version HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    print(client.recv(100).split(b"\\r\\n")[0].decode())
"""


async def test_without_descriptors_the_silent_make_room(tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - only here

    async with serving(tmp_path) as served:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, str(served.port), str(tmp_path / "pki" / "ca.crt"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        with structlog.testing.capture_logs() as logs:
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 10, hard))
            try:
                output, _ = await child.communicate(b"\n")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert output == b"HTTP/1.1 200 OK\n"
        assert [(log["event"], log["why"]) for log in logs] == [("connections_exhausted", "EMFILE")]


def test_the_limit_of_open_files_is_raised_and_some_are_kept_for_other_use() -> None:
    def limit(soft: int, hard: int) -> list[int]:
        code = (
            "import resource as r\n"
            "from kubeherd.cluster.apiserver.edge.listener import connection_limit as c\n"
            f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); "
            "print(c(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
        )
        command = [sys.executable, "-c", code]
        return [int(word) for word in subprocess.check_output(command).split()]

    assert limit(256, 2000) == [1936, 2000]
    assert limit(100, 100) == [75, 100]
    assert listener.MAX_CONNECTIONS > 10_000
