"""The HTTP shell over TLS: certificates, bodies, streams, shutdown."""

import asyncio
import gzip
import io
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from aiohttp.base_protocol import BaseProtocol
from apicluster import config_map
from patience import PATIENCE_S
from wireserver import Served, request, serving, wire

from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.apiserver.edge import heads
from kubeherd.cluster.apiserver.edge.bodies import BODY_LIMIT_BYTES
from kubeherd.cluster.apiserver.edge.http import HttpServer
from kubeherd.cluster.apiserver.edge.tls import tls_context
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.listening import listen

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as server:
        yield server


async def test_identity_comes_from_the_certificate(served: Served) -> None:
    async with served.session("bob", "crew") as session, session.get("/api/v1/pods") as response:
        assert response.status == 403
        assert 'User "bob" cannot list resource "pods"' in (await response.json())["message"]
    async with served.session() as session:
        async with session.get("/version") as response:
            assert response.status == 200
        async with session.get("/apis") as response:
            assert response.status == 403
        headers = {"Authorization": "Bearer nonsense"}
        async with session.get("/version", headers=headers) as response:
            assert (response.status, (await response.json())["message"]) == (401, "Unauthorized")


async def test_identity_comes_from_a_token_where_there_is_no_certificate(served: Served) -> None:
    async with served.admin() as session:
        path = "/api/v1/namespaces/default/serviceaccounts"
        async with session.post(path, json={"metadata": {"name": "robot"}}) as response:
            assert response.status == 201
        async with session.post(f"{path}/robot/token", json={}) as response:
            token = (await response.json())["status"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    for session, user in (
        (served.session(), "system:serviceaccount:default:robot"),
        (served.session("bob"), "bob"),
    ):
        async with session, session.get("/api/v1/pods", headers=headers) as response:
            assert response.status == 403
            assert f'User "{user}" cannot list' in (await response.json())["message"]
    headers = {"Authorization": "Basic eDp5"}
    async with served.session() as session, session.get("/api", headers=headers) as response:
        assert response.status == 403
        assert 'User "system:anonymous" cannot get path' in (await response.json())["message"]


async def test_headers_of_an_answer(served: Served) -> None:
    async with served.admin() as session, session.get("/api/v1/namespaces") as response:
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "no-cache, private"
        assert response.headers["Server"] == PRODUCT
        assert len(response.headers["Audit-Id"]) == 36


async def test_bodies_plain_compressed_and_too_large(served: Served) -> None:
    async with served.admin() as session:
        body = json.dumps(config_map("a", k="v")).encode()
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        async with session.post(CMS, data=gzip.compress(body), headers=headers) as response:
            assert response.status == 201
        async with session.post(CMS, data=b"no gzip", headers=headers) as response:
            assert response.status == 400
        for encoding in ("br", "x"):
            async with session.post(
                CMS, data=body, headers=headers | {"Content-Encoding": encoding}
            ) as response:
                assert response.status == 415
        bomb = gzip.compress(b" " * (BODY_LIMIT_BYTES + 1))
        async with session.post(CMS, data=bomb, headers=headers) as response:
            assert response.status == 413
            message = (await response.json())["message"]
            assert message == "Request entity too large: limit is 3145728"
        async with session.post(CMS, data=io.BytesIO(b" " * (BODY_LIMIT_BYTES + 1))) as response:
            assert response.status == 413
        async with session.get(f"{CMS}/a") as response:
            assert (await response.json())["data"] == {"k": "v"}


async def test_a_long_list_is_the_same_plain_compressed_and_by_aiohttp(served: Served) -> None:
    async with served.admin() as session:
        for number in range(40):
            made = config_map(f"c{number:02}", text="x" * 40_000)
            assert (await session.post(CMS, json=made)).status == 201
        read = []
        for encoding, connection in (
            ("identity", "keep-alive"),
            ("gzip", "keep-alive"),
            ("identity", "close"),
        ):
            headers = {"Accept-Encoding": encoding, "Connection": connection}
            async with session.get(CMS, headers=headers) as response:
                if encoding == "identity":
                    assert int(response.headers["Content-Length"]) > 40 * 40_000
                read.append(await response.read())
        assert read[0] == read[1] == read[2]
        names = [item["metadata"]["name"] for item in json.loads(read[0])["items"]]
        assert names == [f"c{number:02}" for number in range(40)]


async def test_head_and_options_are_refused(served: Served) -> None:
    async with served.admin() as session:
        async with session.head("/api/v1/namespaces/default") as response:
            assert (response.status, await response.read()) == (405, b"")
        async with session.options("/api/v1/namespaces/default") as response:
            assert response.status == 405


async def test_query_and_path_are_decoded(served: Served) -> None:
    async with served.admin() as session:
        await (await session.post(CMS, json=config_map("a"))).read()
        path = f"{CMS}?fieldSelector=metadata.name%3Da&limit=5&limit=x&labelSelector=%21b+%2C%21c"
        async with session.get(path.replace("default", "def%61ult")) as response:
            assert len((await response.json())["items"]) == 1


async def test_watch_streams_and_ends_when_the_server_stops(served: Served) -> None:
    async with served.admin() as session, session.get(f"{CMS}?watch=1") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        await (await session.post(CMS, json=config_map("a"))).read()
        first = json.loads(await response.content.readline())
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        stopping = asyncio.ensure_future(served.http.stop())
        assert await response.content.read() == b""
        await stopping


async def test_whoever_reads_late_is_told_the_same_as_who_reads_at_once(served: Served) -> None:
    """One is served on the spot most of the time, the other by its task once it reads."""
    took_it = set()

    def push(self: HttpServer, connection: BaseProtocol, data: bytes) -> bool:
        done = HttpServer._push(self, connection, data)
        took_it.add(done)
        return done

    class Watched(HttpServer):
        _push = push

    served.http.__class__ = Watched
    async with served.admin() as session, served.admin() as late_session:
        prompt = await session.get(f"{CMS}?watch=1", read_bufsize=2**16)
        late = await late_session.get(f"{CMS}?watch=1", read_bufsize=2**16)
        told: list[bytes] = []
        for number in range(200):
            made = await session.post(CMS, json=config_map(f"c{number}", text="x" * 60_000))
            assert made.status == 201
            told.append(await prompt.content.readline())
        assert took_it == {True, False}
        assert [await late.content.readline() for _ in told] == told
        names = [json.loads(line)["object"]["metadata"]["name"] for line in told]
        assert names == [f"c{number}" for number in range(200)]
        prompt.close()
        late.close()


async def test_a_watch_is_dropped_with_its_client(served: Served, tmp_path: Path) -> None:
    hub = served.http._api.services.store.hub
    async with served.admin() as session:
        response = await session.get(f"{CMS}?watch=1")
        assert hub.watchers == 1
        response.close()
    async with asyncio.timeout(PATIENCE_S):
        while hub.watchers:  # noqa: ASYNC110 - the hub has no event for this
            await asyncio.sleep(0.01)


async def test_a_shared_socket_is_served_and_some_of_its_connections_end(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MOVE_CHANCE", 1.0)
    front = listen("127.0.0.1", 0)
    url = f"https://127.0.0.1:{front.getsockname()[1]}/version"
    served.http.share(front, tls_context(tmp_path / "pki"))
    async with served.admin() as session:
        async with session.get(url) as response:
            assert (response.status, response.headers["Connection"]) == (200, "close")
        async with session.get("/version") as response:
            assert "Connection" not in response.headers


async def test_errors_of_starting_are_one_line(served: Served, tmp_path: Path) -> None:
    other = HttpServer(served.http._api, served.http._clock, Rng(1))
    with pytest.raises(ProcessError, match=f"port {served.port} is already in use"):
        await other.start("127.0.0.1", served.port, tls_context(tmp_path / "pki"))
    with pytest.raises(ProcessError, match="cannot load the certificates in "):
        tls_context(tmp_path / "nothing")


@pytest.mark.kubectl
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl(served: Served, tmp_path: Path) -> None:
    kubeconfig = served.authority.kubeconfig(served.port)

    async def kubectl(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", str(kubeconfig), "--cache-dir", str(tmp_path), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        return output.decode()

    assert "kube-system" in await kubectl("get", "namespaces")
    manifest = Path(__file__).parents[3] / "examples" / "fluentd-daemonset.yaml"
    applied = await kubectl("apply", "-f", str(manifest))
    assert applied == "daemonset.apps/fluentd-elasticsearch created\n"
    assert await kubectl("apply", "-f", str(manifest)) == applied.replace("created", "unchanged")
    assert await kubectl("diff", "-f", str(manifest)) == ""
    dry = await kubectl("apply", "--dry-run=server", "-f", str(manifest))
    assert dry.endswith("unchanged (server dry run)\n")
    target = ("-n", "kube-system", "ds/fluentd-elasticsearch")
    changed = await kubectl("set", "image", *target, "fluentd-elasticsearch=x:2")
    assert changed == "daemonset.apps/fluentd-elasticsearch image updated\n"
    created = await kubectl("create", "configmap", "x", "--from-literal=a=b")
    assert created == "configmap/x created\n"
    assert "a:\n----\nb" in await kubectl("describe", "configmap", "x")
    assert await kubectl("delete", "configmap", "x") == 'configmap "x" deleted\n'
    deleted = await kubectl("delete", *target)
    assert deleted == 'daemonset.apps "fluentd-elasticsearch" deleted\n'


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(request("FLY"), 405, id="unknown method"),
        pytest.param(b"GET nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"GET /version HTTP/9.9\r\n\r\n", 400, id="unknown version"),
        pytest.param(request(x="y" * 70_000), 400, id="huge header"),
        pytest.param(request(headers={f"x{i}": "y" for i in range(300)}), 400, id="many headers"),
        pytest.param(request(path="/api/v1/pods?x=" + "y" * 70_000), 400, id="huge query"),
        pytest.param(
            request("POST", CMS, b"zz\r\n", Transfer_Encoding="chunked"), 400, id="chunks"
        ),
        pytest.param(request("POST", CMS, Content_Length="-1"), 400, id="negative length"),
        pytest.param(request("POST", CMS, Content_Length="9", Transfer_Encoding="chunked"), 400),
    ],
)
async def test_what_is_no_http_gets_a_status(served: Served, sent: bytes, code: int) -> None:
    head, _, body = (await wire(served, sent)).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == code
    assert f"Server: {PRODUCT}".encode() in head
    status = json.loads(body)
    assert (status["kind"], status["code"]) == ("Status", code)
    assert status["message"]
    assert b" 200 " in await wire(served, request())


async def test_http_1_0_gets_answers_and_watches(served: Served) -> None:
    answer = await wire(served, b"GET /version HTTP/1.0\r\n\r\n")
    assert b" 200 OK" in answer
    path = b"/api/v1/namespaces?watch=1&timeoutSeconds=1"
    answer = await wire(served, b"GET " + path + b" HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 OK" in head
    assert b"chunked" not in head.lower()
    events = [json.loads(line) for line in body.splitlines()]
    assert {event["object"]["metadata"]["name"] for event in events} >= {"default", "kube-system"}


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    first = request(path="/healthz", Connection="keep-alive")
    answers = await wire(served, first + first + request(path="/version"))
    assert answers.count(b" 200 OK") == 3
    assert answers.index(b'"gitVersion"') > answers.rindex(b"\r\n\r\nok")


async def test_expect_continue(served: Served) -> None:
    body = json.dumps(config_map("e")).encode()
    sent = request("POST", CMS, Expect="100-continue", Content_Length=str(len(body)))
    answer = await wire(served, sent, then=body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b" 201 Created" in answer


async def test_a_body_that_never_comes_times_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeherd.cluster.apiserver.edge.bodies.TIMEOUT_S", 0.05)
    answer = await wire(served, request("POST", CMS, b"{", Content_Length="10"))
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"the request body did not arrive" in answer


async def test_a_client_that_goes_away_is_no_error(served: Served) -> None:
    with structlog.testing.capture_logs() as logs:
        await wire(served, request("POST", CMS, b"{", Content_Length="10"), patience_s=0.1)
        assert b" 200 " in await wire(served, request())
    assert logs == []


async def test_impersonation_headers_keep_their_lines(served: Served) -> None:
    """A group's name may contain a comma, and a line may come twice."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = request("POST", path, b"{}", Content_Length="2")
    lines = (
        b"Impersonate-User: eve\r\nIMPERSONATE-GROUP: a,b\r\nImpersonate-Group: c\r\n"
        b"Impersonate-Uid: 7\r\nImpersonate-Extra-Example.com%2fScope: x\r\n"
        b"impersonate-extra-example.com%2fscope: y\r\nHost"
    )
    head, _, body = (await wire(served, review.replace(b"Host", lines))).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == 201
    assert json.loads(body)["status"]["userInfo"] == {
        "username": "eve",
        "uid": "7",
        "groups": ["a,b", "c", "system:authenticated"],
        "extra": {"example.com/scope": ["x", "y"]},
    }
    nameless = review.replace(b"Host", b"Impersonate-Group: a\r\nHost")
    head, _, body = (await wire(served, nameless)).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == 400
    assert "without impersonating a user name" in json.loads(body)["message"]
    odd = request("GET", CMS).replace(b"Host", b"Impersonate-User: \xff\r\nHost")
    assert b"HTTP/1.1 403" in await wire(served, odd)
