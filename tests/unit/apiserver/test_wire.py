"""Bytes on the wire: what HTTP asks for in its corners, compared with Go's net/http."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
import structlog
from apicluster import config_map
from wireserver import Served, request, serving, wire

from kubeherd.cluster.apiserver.edge.messages import WatchResponse
from kubeherd.cluster.apiserver.edge.routing import escaped_target, origin_form

CMS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    "path",
    [
        f"{CMS}?watch=1&timeoutSeconds=1",
        f"{CMS}?watch=1&resourceVersion=1&poll=1&timeoutSeconds=0",
        "/api/v1/watch/namespaces?timeoutSeconds=1",
        "/api/v1/namespaces/default?watch=1",
        f"{CMS}?watch=1&resourceVersion=x",
        CMS,
        f"{CMS}/nothing",
        "/api/v1/namespaces/default/pods/p/log?follow=true",
        "/api/v1/namespaces/default/pods/p/exec",
        "/apis",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
        "/healthz",
        "/metrics",
        "/nowhere",
        "/kubeherd/batch",
        "/apis/apps/v1/namespaces/default/daemonsets/x/scale",
    ],
)
async def test_head_never_has_a_body(served: Served, path: str) -> None:
    head = request("HEAD", path, Connection="keep-alive")
    answers = await wire(served, head + head + request(path="/healthz"))
    last, _, body = answers.rpartition(b"\r\n\r\n")
    assert body == b"ok"
    heads = last.split(b"\r\n\r\n")
    assert len(heads) == 3
    assert all(text.startswith(b"HTTP/1.1 ") for text in heads)


async def test_not_modified_has_no_body(served: Served) -> None:
    async with served.admin() as session, session.get("/openapi/v2") as response:
        tag = response.headers["ETag"]
    first = request(path="/openapi/v2", If_None_Match=tag, Connection="keep-alive")
    head, other = (await wire(served, first + request(path="/healthz"))).split(b"HTTP/1.1 200 OK")
    assert head.startswith(b"HTTP/1.1 304 ")
    assert head.endswith(b"\r\n\r\n")
    assert other.endswith(b"\r\n\r\nok")


BODY = json.dumps({"metadata": {"generateName": "a"}}).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize("encoding", ["gzip, chunked", "x, chunked"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "GET"])
async def test_other_transfer_encodings_are_501_and_the_end(
    served: Served, method: str, encoding: str
) -> None:
    sent = request(method, CMS, CHUNKED, Transfer_Encoding=encoding, Connection="keep-alive")
    answer = await wire(served, sent + request())
    assert answer.startswith(b"HTTP/1.1 501 Not Implemented\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    body = b"" if method == "HEAD" else b"Unsupported transfer encoding"
    assert answer.partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("encoding", ["chunked", "Chunked"])
async def test_chunked_bodies_are_read(served: Served, encoding: str) -> None:
    answer = await wire(served, request("POST", CMS, CHUNKED, Transfer_Encoding=encoding))
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")


@pytest.mark.parametrize(
    "headers",
    [
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: \r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length : 3\r\n",
    ],
)
async def test_nothing_is_smuggled(served: Served, headers: bytes) -> None:
    """A body whose length is in doubt: what is in it is not taken for a request."""
    inner = request("POST", CMS, json.dumps(config_map("smuggled")).encode(), Content_Length="57")
    await wire(served, b"POST " + CMS.encode() + b" HTTP/1.1\r\nHost: x\r\n" + headers +
               b"\r\n0\r\n\r\n" + inner)  # fmt: skip
    async with served.admin() as session, session.get(f"{CMS}/smuggled") as response:
        assert response.status == 404


async def test_a_target_may_have_bytes_beyond_ascii(served: Served) -> None:
    """Go's net/http does not mind them; aiohttp's parser does."""
    pod = "/api/v1/namespaces/default/pods/n\u00e4he"
    again = request(path=pod)
    answer = await wire(served, request(path=pod, Connection="keep-alive"), then=again)
    assert answer.count(b"HTTP/1.1 404 ") == 2
    assert answer.count('pods \\"n\u00e4he\\" not found'.encode()) == 2
    selected = "/api/v1/namespaces/default/pods?labelSelector=a%3D\u00e4"
    assert (await wire(served, request(path=selected))).startswith(b"HTTP/1.1 400 ")


async def test_bytes_beyond_ascii_in_a_body_stay_what_they_are(served: Served) -> None:
    """Also where a body looks like a request."""
    text = "GET /\u00e4 HTTP/1.1\r\n\u00f6"
    tree = {"metadata": {"name": "told"}, "data": {"text": text}}
    path = "/api/v1/namespaces/default/configmaps"
    body = json.dumps(tree, ensure_ascii=False).encode()
    head = request("POST", path, Content_Length=str(len(body)), Expect="100-continue")
    answer = await wire(served, head, then=body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    async with served.admin() as session, session.get(f"{path}/told") as stored:
        assert (await stored.json())["data"]["text"] == text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("GET /\u00e4?\u00f6 HTTP/1.1\r\n\u00fc", "GET /%C3%A4?%C3%B6 HTTP/1.1\r\n\u00fc"),
        ("GET /\u00e4 HTTP/1.1", "GET /\u00e4 HTTP/1.1"),
        ("GET /\u00e4 b HTTP/1.1\r\n", "GET /\u00e4 b HTTP/1.1\r\n"),
        ("\u00e4\r\nGET /\u00e4 HTTP/1.1\r\n", "\u00e4\r\nGET /\u00e4 HTTP/1.1\r\n"),
    ],
)  # fmt: skip
def test_escaped_target(sent: str, expected: str) -> None:
    assert escaped_target(sent.encode()) == expected.encode()


async def test_absolute_request_targets_are_served(served: Served) -> None:
    for target in ("http://any:1/version", "https://any/version?pretty=1"):
        answer = await wire(served, request(path=target))
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'"gitVersion"' in answer


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/version?x=http://y/z", "/version?x=http://y/z"),
        ("http://host/a/b?c", "/a/b?c"),
        ("https://user@[::1]:6443/a", "/a"),
        ("http://host", "/"),
        ("http://host?a=/b", "/?a=/b"),
        ("http:///a", "/a"),
        ("//host/a", "//host/a"),
        ("*", "*"),
        ("host:443", "host:443"),
    ],
)
def test_origin_form(target: str, expected: str) -> None:
    assert origin_form(target) == expected


async def test_a_stream_that_breaks_ends_the_connection_and_is_logged(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"first\n"
        raise RuntimeError("a bug")

    async def handle(_request: object) -> WatchResponse:
        return WatchResponse(broken())

    monkeypatch.setattr(served.http._api, "handle", handle)
    with structlog.testing.capture_logs() as logs:
        answer = await wire(served, request(path="/any", Connection="keep-alive"))
    assert answer.endswith(b"first\n\r\n")  # no last chunk: the client sees that it is cut short
    (entry,) = logs
    assert entry["event"] == "request_failed"
    assert str(entry["exc_info"]) == "a bug"
