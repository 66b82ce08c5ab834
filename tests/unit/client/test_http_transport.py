"""The HTTP transport and the client on it, against a small server on loopback."""

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote_plus

import msgspec
import pytest
from aiohttp import web

from kubeherd.cluster.api.errors import Conflict, InternalError, NotFound, TooManyRequests
from kubeherd.cluster.api.kinds import LEASES, NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.transport import MSGPACK, TransportError
from kubeherd.cluster.launcher.pki import Authority
from kubeherd.cluster.runtime.clock import LoopClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers with whatever the test sets; remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.handler: Handler = self.empty
        self.url = ""

    async def empty(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            (request.method, unquote_plus(request.path_qs), dict(request.headers), body)
        )
        return await self.handler(request)

    def answers(self, *responses: web.Response) -> None:
        remaining = list(responses)

        async def handler(_request: web.Request) -> web.Response:
            return remaining.pop(0)

        self.handler = handler


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(ClusterAccess(server.url, token="s3cret"))
    yield transport
    await transport.close()


@pytest.fixture
def client(transport: HttpTransport) -> ApiClient:
    return ApiClient(transport, LoopClock(1000))


def status(code: int, reason: str, message: str, **extra: object) -> web.Response:
    body = {"kind": "Status", "message": message, "reason": reason, "code": code, **extra}
    return web.json_response(body, status=code)


async def test_a_request_carries_path_query_and_identity(
    server: Server, transport: HttpTransport
) -> None:
    await transport.request(
        "GET", "/apis/x/näme:1", query={"labelSelector": "a in (b,c)", "limit": "5"}
    )
    method, path, headers, _ = server.requests[0]
    assert (method, path) == ("GET", "/apis/x/näme:1?labelSelector=a in (b,c)&limit=5")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["User-Agent"] == PRODUCT
    assert "Cookie" not in headers
    assert "Kubeherd-Fence" not in headers
    await transport.request("POST", "/x", fence="a/b/c/1")
    assert server.requests[1][2]["Kubeherd-Fence"] == "a/b/c/1"


async def test_no_answer_is_a_transport_error(server: Server, transport: HttpTransport) -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        raise AssertionError

    server.handler = hang
    with pytest.raises(TransportError, match="timed out"):
        await transport.request("GET", "/x", timeout_s=0.05)
    nobody = HttpTransport(ClusterAccess("http://127.0.0.1:1"))
    with pytest.raises(TransportError, match="GET /x"):
        await nobody.request("GET", "/x")
    await nobody.close()
    with pytest.raises(TransportError, match="closed"):
        await nobody.request("GET", "/x")


async def test_refusals_are_the_exceptions_that_the_server_raised(
    server: Server, client: ApiClient
) -> None:
    server.answers(
        status(404, "NotFound", 'nodes "a" not found', details={"name": "a", "kind": "nodes"}),
        status(409, "Conflict", "stale"),
        web.Response(status=502, text="bad gateway"),
    )
    with pytest.raises(NotFound, match='nodes "a" not found') as caught:
        await client.get(NODES, Node, "a")
    assert caught.value.details == {"name": "a", "kind": "nodes"}
    with pytest.raises(Conflict):
        await client.delete(PODS, "a", "ns", uid="u1", grace_period_s=0)
    options = msgspec.json.decode(server.requests[1][3])
    assert options["preconditions"] == {"uid": "u1"}
    assert options["gracePeriodSeconds"] == 0
    with pytest.raises(Exception, match="bad gateway"):
        await client.get(NODES, Node, "a")


async def test_retry_after_is_obeyed_and_nothing_else_is_repeated(
    server: Server, client: ApiClient
) -> None:
    busy = status(429, "TooManyRequests", "busy")
    busy.headers["Retry-After"] = "1"
    server.answers(busy, web.json_response({"metadata": {"name": "n"}}))
    assert (await client.get(NODES, Node, "n")).metadata.name == "n"
    server.answers(status(429, "TooManyRequests", "a budget forbids it"))
    with pytest.raises(TooManyRequests):
        await client.request("POST", "/api/v1/namespaces/ns/pods/p/eviction", body={})
    assert len(server.requests) == 3


async def test_bodies_become_msgpack_once_the_server_has_answered_in_it(
    server: Server, client: ApiClient
) -> None:
    packed = msgspec.msgpack.encode({"metadata": {"name": "n"}})
    answer = [web.Response(body=packed, content_type=MSGPACK) for _ in range(3)]
    server.answers(*answer)
    assert not client.private
    await client.create(LEASES, {"metadata": {"name": "n", "namespace": "x"}})
    await client.create(LEASES, {"metadata": {"name": "n", "namespace": "x"}})
    await client.patch(NODES, "n", {"spec": {}}, kind=PatchKind.MERGE)
    kinds = [headers["Content-Type"] for _, _, headers, _ in server.requests]
    assert kinds == ["application/json", MSGPACK, "application/merge-patch+json"]
    assert server.requests[0][1] == "/apis/coordination.k8s.io/v1/namespaces/x/leases"
    assert client.private


async def test_a_server_that_unlearned_msgpack_gets_json(server: Server, client: ApiClient) -> None:
    packed = msgspec.msgpack.encode({"metadata": {"name": "n"}})
    server.answers(
        web.Response(body=packed, content_type=MSGPACK),
        status(415, "UnsupportedMediaType", "no msgpack"),
        web.json_response({"metadata": {"name": "b"}}),
    )
    await client.get(NODES, Node, "n")
    assert await client.create(NODES, {"metadata": {"name": "b"}}) == {"metadata": {"name": "b"}}
    assert not client.private


async def test_a_stranger_is_only_spoken_to_in_json(
    server: Server, transport: HttpTransport
) -> None:
    client = ApiClient(transport, LoopClock(), private_features=False)
    await client.get(NODES, Node, "n")
    assert server.requests[0][2]["Accept"] == "application/json"


async def test_a_list_reads_all_pages_and_leaves_out_what_it_cannot_read(
    server: Server, client: ApiClient
) -> None:
    good, bad = {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "spec": {"taints": 7}}
    server.answers(
        web.json_response({"metadata": {"resourceVersion": "7", "continue": "c"}, "items": [good]}),
        web.json_response({"metadata": {"resourceVersion": "7"}, "items": [bad, good]}),
    )
    listed = await client.list(NODES, Node, label_selector="a=b")
    assert [item.metadata.name for item in listed.items] == ["a", "a"]
    assert listed.resource_version == "7"
    assert "limit=500" in server.requests[0][1]
    assert "continue=c" in server.requests[1][1]


async def test_a_list_whose_pages_are_compacted_meanwhile_is_read_at_once(
    server: Server, client: ApiClient
) -> None:
    first, second = {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}
    gone = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
    server.answers(
        web.json_response(
            {"metadata": {"resourceVersion": "7", "continue": "c"}, "items": [first]}
        ),
        web.json_response(gone, status=410),
        web.json_response({"metadata": {"resourceVersion": "9"}, "items": [first, second]}),
    )
    listed = await client.list(NODES, Node, label_selector="a=b")
    assert [item.metadata.name for item in listed.items] == ["a", "b"]
    assert listed.resource_version == "9"
    assert server.requests[2][1].endswith("/nodes?labelSelector=a=b"), "without a page"


async def test_an_answer_of_another_kind_is_an_error(server: Server, client: ApiClient) -> None:
    server.answers(web.json_response([1, 2]), web.Response(body=b"{", content_type=MSGPACK))
    with pytest.raises(InternalError, match="unexpected answer"):
        await client.get(PODS, Pod, "p", "ns")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_is_sent_once_even_if_a_kept_connection_ends_before_its_answer(
    server: Server, transport: HttpTransport, method: str
) -> None:
    """As a server does that is killed after it has carried the request out."""
    await transport.request("GET", "/first")

    async def end(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.handler = end
    with pytest.raises(TransportError):
        await transport.request(method, "/second")
    assert [request[1] for request in server.requests] == ["/first", "/second"]


async def test_a_read_is_sent_again_if_a_kept_connection_turns_out_ended(
    server: Server, transport: HttpTransport
) -> None:
    """As after a restart of the server."""
    await transport.request("GET", "/first")

    async def end(request: web.Request) -> web.Response:
        server.handler = server.empty
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.handler = end
    assert (await transport.request("GET", "/second")).status == 200
    assert [request[1] for request in server.requests] == ["/first", "/second", "/second"]


async def test_a_stream_yields_what_comes_and_says_when_it_is_refused(
    server: Server, transport: HttpTransport
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/gone":
            return status(410, "Expired", "too old")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await response.write(b"two\n")
        return response

    server.handler = handler
    assert b"".join([chunk async for chunk in transport.stream("/x")]) == b"one\ntwo\n"
    with pytest.raises(Exception, match="too old"):
        _ = [chunk async for chunk in transport.stream("/gone")]


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    limit: int = 8,
) -> AsyncIterator[HttpTransport]:
    """A server that does with each connection what the test says, and a transport to it."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as served:
        port = served.sockets[0].getsockname()[1]
        transport = HttpTransport(ClusterAccess(f"http://127.0.0.1:{port}"), max_connections=limit)
        yield transport
        await transport.close()


async def test_who_finds_no_connection_free_waits_in_line() -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with answering(answer, limit=2) as transport:
        answers = await asyncio.gather(*(transport.request("GET", "/x") for _ in range(9)))
    assert [answer.status for answer in answers] == [200] * 9
    assert connections <= 2


async def test_an_answer_that_nobody_asked_for_ends_its_connection() -> None:
    """Or it would be taken for the answer to the next request."""
    answered = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                answered += 1
                twice = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % answered
                writer.write(twice * 2)
                await writer.drain()
        writer.close()

    async with answering(answer) as transport:
        with pytest.raises(TransportError, match="more than the answer"):
            await transport.request("POST", "/x")
        with pytest.raises(TransportError, match="more than the answer"):
            await transport.request("POST", "/x")
    assert answered == 2


async def test_a_slow_reader_of_a_stream_makes_the_server_wait() -> None:
    size = 32 * 1024 * 1024
    written = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()
        written.set()
        writer.close()

    async with answering(answer) as transport:
        stream = transport.stream("/x")
        total = len(await anext(stream))
        assert not written.is_set()
        async for piece in stream:
            total += len(piece)
    assert total == size
    assert written.is_set()


async def test_a_stream_that_breaks_off_or_falls_silent_is_no_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        if b"/silent" in asked:
            await reader.read()
        writer.close()

    async with answering(answer) as transport:
        for path, why in (("/silent", "timed out"), ("/broken", "in the middle")):
            stream = transport.stream(path, timeout_s=0.3)
            assert await anext(stream) == b"one"
            with pytest.raises(TransportError, match=why):
                await anext(stream)


async def test_a_connection_that_does_not_end_in_order_is_nobodys_news(tmp_path: Path) -> None:
    """A watch that is left has data under way: what comes after the end of TLS is an error."""
    pair = Authority.create().issue_server()
    (tmp_path / "tls.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(b"5\r\nline\n\r\n" * 1000)
                await writer.drain()

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    async with await asyncio.start_server(flood, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        transport = HttpTransport(ClusterAccess(f"https://127.0.0.1:{port}", skip_tls_verify=True))
        stream = transport.stream("/x")
        assert await anext(stream)
        await stream.aclose()
        await transport.close()
    gc.collect()
    assert [told["message"] for told in complaints] == []


async def test_a_server_below_a_path_is_asked_there(server: Server) -> None:
    transport = HttpTransport(ClusterAccess(f"{server.url}/clusters/a/"))
    assert (await transport.request("GET", "/api", query={"a": "b c", "d": "ä"})).status == 200
    await transport.close()
    assert server.requests[0][1] == "/clusters/a/api?a=b c&d=ä"
    assert server.requests[0][2]["Host"] == server.url.removeprefix("http://")


async def test_connections_resume_the_session_of_an_earlier_one(tmp_path: Path) -> None:
    """Also with a server that started anew and does not know it: then by a whole handshake."""
    pair = Authority.create().issue_server()
    (tmp_path / "tls.pem").write_bytes(pair.certificate + pair.key)
    resumed: list[bool] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async def serve(port: int) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "tls.pem")
        return await asyncio.start_server(answer, "127.0.0.1", port, ssl=context)

    async with await serve(0) as first:
        port = first.sockets[0].getsockname()[1]
        transport = HttpTransport(ClusterAccess(f"https://127.0.0.1:{port}", skip_tls_verify=True))
        for _ in range(2):
            assert (await transport.request("GET", "/x")).status == 200
        await asyncio.gather(*(transport.request("GET", "/x") for _ in range(3)))
    async with await serve(port):
        for _ in range(2):
            assert (await transport.request("GET", "/x")).status == 200
        await transport.close()
    assert resumed == [False, True, True, True, True, False, True]
