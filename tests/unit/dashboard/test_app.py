"""What the dashboard answers, on a real socket: to whom, with which headers, and what not."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from dashboards import Browser, served
from herdrecords import daemonset, node, pod, revision

from kubeherd.dashboard.objects import is_name
from kubeherd.dashboard.recorded import Recorded, read
from kubeherd.dashboard.web.app import MAX_BODY_BYTES, MAX_STREAMS
from kubeherd.dashboard.web.session import CSRF_HEADER
from kubeherd.history import Began, Record, Verb, files

HISTORY = (
    Began(at=1.0, speed=1.0),
    node("n-1", at=2.0),
    daemonset(1, 1, 1, at=3.0),
    revision(1, "one", "agent:1"),
    revision(2, "two", "agent:2"),
    pod("p", "n-1", at=10.0),
    pod("q", at=10.0),
    pod("q", verb=Verb.DELETE, at=18.0),
    node("n-1", "Unknown", at=20.0, revision=7),
)


def recorded(folder: Path, records: Iterable[Record]) -> Recorded:
    files.write(folder / "run.jsonl", records)
    return Recorded(read(folder / "run.jsonl"))


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with served(recorded(tmp_path, HISTORY)) as one:
        await one.enter()
        yield one


async def test_nobody_gets_anything_without_the_cookie(browser: Browser):
    browser.cookie = {}
    for path in ("/", "/static/index.html", "/nothing", "/?token=wrong"):
        status, text = await browser.get(path)
        assert (status, "does not know you" in text) == (401, True)
    for path in ("/api/state", "/api/stream", "/api/session", "/api/object?resource=pods&name=p"):
        assert (await browser.get(path))[0] == 401
    assert (await browser.act(action="kill", node="n-1"))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_other_places_are_refused_even_with_the_cookie(
    browser: Browser, headers: dict[str, str]
):
    assert (await browser.get("/api/state", **headers))[0] == 403
    assert (await browser.get("/", **headers))[0] == 403


async def test_a_token_that_is_followed_from_elsewhere_leads_on_by_a_page(browser: Browser):
    browser.cookie = {}
    path = browser.session.url().removeprefix(browser.base)
    status, text = await browser.get(path, **{"Sec-Fetch-Site": "cross-site"})
    assert (status, 'http-equiv="refresh"' in text) == (200, True)
    assert (await browser.get(path))[0] == 401


async def test_who_is_known_needs_no_token(browser: Browser):
    assert (await browser.get("/?token=used"))[0] == 303


async def test_every_answer_has_the_headers_that_keep_a_page_to_itself(browser: Browser):
    for path in ("/", "/api/state", "/nothing", "/static/none.js"):
        async with browser.http.get(browser.base + path, headers=browser.cookie) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Python" not in answer.headers["Server"]


async def test_nothing_is_done_by_a_get_nor_without_the_header_of_the_page(browser: Browser):
    assert (await browser.get("/api/action?action=kill&node=n-1"))[0] == 404
    body = {"action": "kill", "node": "n-1"}
    for headers in ({}, {CSRF_HEADER: "wrong"}):
        refused = await browser.ask("POST", "/api/action", json=body, headers=headers)
        assert refused == (403, {"error": "not asked by the page"})
    assert await browser.act(**body) == (
        403,
        {"error": "this is a recording: nothing can be done to it"},
    )
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert (await browser.ask(method, "/api/state"))[0] == 405


async def test_a_body_has_a_bound(browser: Browser):
    headers = {CSRF_HEADER: browser.session.csrf}
    data = b" " * (MAX_BODY_BYTES + 1)
    status, answer = await browser.ask("POST", "/api/action", headers=headers, data=data)
    assert (status, "at most" in answer["error"]) == (413, True)


async def test_files_of_the_page_and_no_others(browser: Browser):
    assert (await browser.get("/static/index.html"))[0] == 200
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "", ".", "none.js", "index.html%00"):
        assert (await browser.get(f"/static/{name}"))[0] == 404, name
    async with browser.http.get(
        f"{browser.base}/static/index.html", headers=browser.cookie
    ) as answer:
        tag = answer.headers["ETag"]
    assert (await browser.get("/static/index.html", **{"If-None-Match": tag}))[0] == 304


async def test_the_state_is_compressed_for_who_can_read_that(browser: Browser):
    headers = {**browser.cookie, "Accept-Encoding": "gzip"}
    url = f"{browser.base}/api/state"
    async with browser.http.get(url, headers=headers) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.json())["nodes"][0]["health"] == "unreachable"


async def test_the_stream_begins_with_the_state_and_goes_on(browser: Browser):
    headers = {**browser.cookie, "Accept-Encoding": "gzip"}
    async with browser.http.get(
        f"{browser.base}/api/stream", headers=headers, auto_decompress=False
    ) as answer:
        assert answer.content_type == "text/event-stream"
        inflater = zlib.decompressobj(31)
        text = inflater.decompress(await answer.content.readany())
        assert text.startswith(b"event: state\nid: ")
        browser.board.feed.herd.see(node("n-2"))
        async with asyncio.timeout(30):
            while b"event: change" not in text:
                text += inflater.decompress(await answer.content.readany())
        assert b'"name":"n-2"' in text


async def test_there_are_so_many_streams_and_no_more(browser: Browser):
    opened = [
        await browser.http.get(f"{browser.base}/api/stream", headers=browser.cookie)
        for _ in range(MAX_STREAMS)
    ]
    async with asyncio.timeout(30):
        assert (await browser.get("/api/stream"))[0] == 503
    for one in opened:
        one.close()


async def test_any_moment_can_be_asked_for(browser: Browser):
    assert await browser.get("/api/range") == (200, {"oldest": 1.0, "newest": 20.0})
    _, then = await browser.get("/api/at?t=15")
    assert (then["at"], then["nodes"][0]["health"]) == (15.0, "ready")
    assert [one["name"] for one in then["nodes"][0]["pods"]] == ["p"]
    _, before = await browser.get("/api/at?t=5")
    assert "pods" not in before["nodes"][0]
    assert (await browser.get("/api/at?t=0.5"))[0] == 410
    for wrong in ("", "?t=", "?t=x", "?t=nan", "?t=inf"):
        assert (await browser.get(f"/api/at{wrong}"))[0] == 400


async def test_objects_as_they_were(browser: Browser):
    _, now = await browser.get("/api/object?resource=nodes&name=n-1")
    _, then = await browser.get("/api/object?resource=nodes&name=n-1&t=15")
    ready = [one["status"]["conditions"][0]["status"] for one in (now, then)]
    assert ready == ["Unknown", "True"]
    assert (await browser.get("/api/object?resource=nodes&name=n-1&t=1.5"))[0] == 404
    gone = "/api/object?resource=pods&namespace=x&name=q"
    assert [(await browser.get(f"{gone}{t}"))[0] for t in ("", "&t=15", "&t=19")] == [200, 200, 404]
    for wrong in ("", "?resource=pods", "?resource=pods&name=..", "?resource=pods&name=a/b"):
        assert (await browser.get(f"/api/object{wrong}"))[0] == 400


def test_what_is_a_name_of_an_object():
    assert all(map(is_name, ("pods", "daemonsets.apps", "system:node:a", "x y")))
    assert not any(map(is_name, ("", ".", "..", "a/b", "a%2fb", "a\n", "a" * 254)))


async def test_what_differs_between_two_revisions(browser: Browser):
    path = "/api/diff?workload=DaemonSet%20x/agent&from=one&to=2"
    _, answer = await browser.get(path)
    marked = [line for line in answer["lines"] if line[0] != " "]
    assert marked == [["-", "  - image: agent:1"], ["+", "  - image: agent:2"]]
    assert (await browser.get(path.replace("to=2", "to=9")))[0] == 404


async def test_the_timeline_and_the_lanes(browser: Browser):
    _, picture = await browser.get("/api/timeline")
    assert (picture["zero"], picture["duration"]) == (1.0, 19.0)
    assert [row["name"] for row in picture["rows"]] == ["n-1", "no node"]
    _, lanes = await browser.get("/api/lanes")
    assert lanes["samples"][-1][:5] == [20.0, 1, 0, 1, 1]
