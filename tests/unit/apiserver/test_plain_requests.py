"""Requests that are read without aiohttp: what they are, and that aiohttp reads them alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from apicluster import config_map
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from wireserver import Served, holding, request, serving, wire

from kubeherd.cluster.apiserver.edge.plain import requests
from kubeherd.cluster.apiserver.edge.plain.requests import WHOLE, Partial, Plain, read

CMS = "/api/v1/namespaces/default/configmaps"
GET = b"GET /api/v1/pods?limit=5 HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n"
POST = b"POST /apis/apps/v1/x HTTP/1.1\r\nhost: x\r\nCONTENT-LENGTH: 2\r\n\r\n{}"


def test_a_plain_request():
    headers = {"host": "x", "accept": "application/json"}
    assert read(GET) == Plain("GET", "/api/v1/pods", "limit=5", headers, b"", waits=False)
    found = read(POST)
    assert isinstance(found, Plain)
    assert (found.headers["content-length"], found.body) == ("2", b"{}")


def test_a_long_poll_is_plain_and_waits():
    found = read(GET.replace(b"limit=5", b"watch=1&resourceVersion=7&poll=1&nodes=a%2Cb"))
    assert isinstance(found, Plain)
    assert found.waits


def test_values_of_a_plain_request_may_be_escaped():
    query = b"fieldSelector=metadata.name%3Da&limit=5"
    found = read(GET.replace(b"limit=5", query))
    assert isinstance(found, Plain)
    assert found.query == query.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"GET", b"HEAD"),
        (b"GET", b"get"),
        (b"1.1", b"1.0"),
        (b"/api/v1/pods", b"/api/v1/p%6fds"),
        (b"/api/v1/pods", b"http://x/api/v1/pods"),
        (b"/api/v1/pods", b"/api/v1/p\xc3\xb6ds"),
        (b"limit=5", b"limit=5#"),
        (b"Host: x", b"Host: x\r\nhost: y"),
        (b"Host: x", b"Host : x"),
        (b"Host: x", b" Host: x"),
        (b"Host: x", b"Host: x\r\n folded"),
        (b"Host: x", b"Host: x\x00"),
        (b"Host: x", b"Host: \xe4"),
        (b"Host: x", b"Host: x\nAccept: y"),
        (b"Host: x", b"Host"),
        (b"Host: x", b"Content-Length: 0\r\nContent-Length: 0"),
        (b"Host: x", b"Content-Length: +0"),
        (b"Host: x", b"Content-Length: 0x0"),
        (b"Host: x", b"Content-Length: 5\r\nExpect: 100-continue"),
        (b"Host: x\r\n", b"Content-Length: 5\r\n"),
        (b"Host: x", b"Host: x\r\nContent-Length: %d" % requests.MAX_PARTIAL_BYTES),
        (b"Host: x", b"Transfer-Encoding: chunked"),
        (b"Host: x", b"Transfer-Encoding: identity"),
        (b"Host: x", b"Host: " + b"x" * requests.MAX_HEAD_BYTES),
        (b"Host: x", b"\r\n".join(b"h%d: x" % n for n in range(requests.MAX_HEADERS))),
        (b"\r\n\r\n", b"\r\n\r\nG"),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_what_is_doubtful_is_for_aiohttp(before: bytes, after: bytes):
    assert before in GET
    assert read(GET.replace(before, after)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"limit=5", b"watch=1"),
        (b"limit=5", b"follow=true"),
        (b"limit=5", b"w%61tch=1"),
        (b"limit=5", b"limit=5&%77atch=1"),
        (b"limit=5", b"watch=1&poll=true"),
        (b"limit=5", b"watch=1&poll=0&poll=1"),
        (b"limit=5", b"watch=1&poll=1&poll=0"),
        (b"limit=5", b"watch=1&apoll=1"),
        (b"limit=5", b"watch=1&poll=1&p%6fll=0"),
        (b"/api/v1/pods?limit=5", b"/api/v1/watch/pods?poll=1"),
        (b"/api/v1/pods", b"/api/v1/namespaces/a/pods/b/log"),
        (b"/api/v1/pods", b"/api/v1/namespaces/a/services/b/proxy/api/v1/x"),
        (b"/api/v1/pods", b"/api/v1/watch/pods"),
        (b"/api/v1/pods", b"/version"),
        (b"Accept: application/json", b"Connection: close"),
        (b"Accept: application/json", b"Connection: Upgrade\r\nUpgrade: websocket"),
        (b"Accept: application/json", b"Impersonate-Group: a"),
        (b"Accept: application/json", b"Content-Encoding: gzip"),
        (b"Host: x\r\n", b""),
    ],
)
def test_a_whole_request_may_be_none_of_the_plain_ones(before: bytes, after: bytes):
    assert read(GET.replace(before, after)) is WHOLE


def test_the_beginning_of_a_plain_request():
    head = POST.index(b"{}")
    for length in range(head, len(POST)):
        assert read(POST[:length]) == Partial(len(POST))
    assert all(read(POST[:length]) is None for length in range(head))
    assert read(POST.replace(b"/apis/", b"/version/")[:-1]) is None


class Refused(Exception):
    """By aiohttp."""


def read_by_aiohttp(data: bytes, loop: asyncio.AbstractEventLoop):
    """The messages in `data`, each with its payload; Refused."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_line_size=2**16)
    try:
        messages, _upgraded, tail = parser.feed_data(data)
    except HttpProcessingError as error:
        raise Refused from error
    assert not tail
    return messages


PIECES = (
    *(b"GET ", b"POST ", b"DELETE ", b"/api/v1/pods", b"/apis/a/", b"?a=b", b"?watch=1", b"%20"),
    *(
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b" ",
        b"\t",
        b": ",
        b"\x00",
        b"\xff",
    ),
    *(b"Host: x", b"X:y", b"Accept: */*", b"Connection: close", b"Expect: 100-continue", b"{}"),
    *(b"Content-Length: 2", b"Content-Length: 0", b"Content-Length: 02", b"content-length:2"),
    b"Transfer-Encoding: chunked",
)


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@settings(max_examples=200, deadline=None)
@given(
    base=st.sampled_from([GET, POST]),
    edits=st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3
    ),
)
def test_aiohttp_reads_alike_what_is_read_here(loop, base: bytes, edits):
    data = base
    for at, length, piece in edits:
        data = data[:at] + piece + data[at + length :]
    found = read(data)
    if found is None:
        return
    try:
        [(message, payload)] = read_by_aiohttp(data, loop)
    except Refused:
        assert found is WHOLE
        return
    assert payload.is_eof()
    if isinstance(found, Plain):
        line = data.split(b"\r\n")[0]
        target = found.path + (f"?{found.query}" if b"?" in line else "")
        assert (message.method, message.path) == (found.method, target)
        assert not message.chunked
        assert not message.should_close
        assert {name.lower(): value for name, value in message.headers.items()} == found.headers
        assert (payload.read_nowait() if found.body else b"") == found.body


# --- over TLS ---


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as server:
        yield server


def keeping(method: str = "GET", path: str = CMS, body: bytes = b"") -> bytes:
    length = {"Content_Length": str(len(body))} if body else {}
    return request(method, path, body, headers={"Connection": "keep-alive", **length})


async def answers(served: Served, *parts: bytes) -> list[int]:
    """The status codes of what comes back for bytes that are sent in pieces, each when the one
    before was sent; the last request ends the connection."""
    context = served.tls(*served.authority.identity("admin", "system:masters"))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            received = await reader.read()
    finally:
        writer.close()
    return [int(line.split()[1]) for line in received.splitlines() if line.startswith(b"HTTP/1.1 ")]


async def test_kinds_of_requests_follow_each_other_on_one_connection(served: Served):
    body = json.dumps(config_map("a", k="v")).encode()
    made, missing = keeping("POST", CMS, body), keeping("GET", f"{CMS}/none")
    last = request(path="/version")
    assert await answers(served, made, missing, keeping(), last) == [201, 404, 200, 200]
    again = keeping("POST", CMS, body)
    mixed = (keeping(path="/version"), again, request("GET", f"{CMS}/a"))
    assert await answers(served, *mixed) == [200, 409, 200]


async def test_requests_that_come_together_or_in_pieces_are_answered_in_order(served: Served):
    missing, last = keeping("GET", f"{CMS}/none"), request(path="/version")
    assert await answers(served, keeping() + missing + keeping() + last) == [200, 404, 200, 200]
    whole = missing + keeping() + last
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    assert await answers(served, keeping(), *pieces) == [200, 404, 200, 200]


@pytest.mark.parametrize("name", ["none", "a"])
async def test_an_answer_has_the_head_that_aiohttp_gives_it(served: Served, name: str):
    body = json.dumps(config_map("a", k="v")).encode()
    await answers(served, request("POST", CMS, body))

    def head(answer: bytes) -> dict[str, str]:
        lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        found = dict(line.split(": ", 1) for line in lines)
        return {name: "" if name in ("Date", "Audit-Id") else found[name] for name in found}

    plainly = await wire(served, keeping("GET", f"{CMS}/{name}"), patience_s=0.2)
    by_aiohttp = await wire(served, request("GET", f"{CMS}/{name}"))
    expected = head(by_aiohttp)
    del expected["Connection"]
    assert head(plainly) == expected
    assert list(head(plainly)) == list(expected)
    assert plainly.split(b"\r\n")[0] == by_aiohttp.split(b"\r\n")[0]


async def test_a_large_answer_comes_whole(served: Served):
    async with served.admin() as session:
        for number in range(3):
            made = config_map(f"large-{number}", k="v" * 200_000)
            async with session.post(CMS, json=made) as response:
                assert response.status == 201
        async with session.get(CMS) as response:
            items = (await response.json())["items"]
        assert [len(one["data"]["k"]) for one in items] == [200_000] * 3


async def test_an_idle_connection_ends_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kubeherd.cluster.apiserver.edge.plain.connection.IDLE_TIMEOUT_S", 0.3)
    async with serving(tmp_path) as served:
        assert await answers(served, keeping()) == [200]


async def test_what_is_answered_when_the_server_stops_is_answered_whole(served: Served):
    arrived, may_go_on = holding(served)
    asked = asyncio.create_task(answers(served, keeping("GET", "/api/v1/namespaces")))
    await arrived.wait()
    stopping = asyncio.create_task(served.http.stop())
    await asyncio.sleep(0)
    may_go_on.set()
    assert (await asked)[0] in (200, 503)
    await stopping
