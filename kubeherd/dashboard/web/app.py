"""The routes of the dashboard, and what every request goes through before it gets to one.

Nothing is answered to a request with another Host or of another origin; nothing but a word how to
get in to one without the cookie; and nothing is changed by one that is not a POST of the page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qsl, unquote
from zlib import compressobj

import structlog
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.web import pages, stream
from kubeherd.dashboard.web.answers import HEADERS, Answer, Refused, json
from kubeherd.dashboard.web.session import Session

MAX_BODY_BYTES: Final = 512 * 1024
"""Of an action: it may name every node of a cluster."""
MAX_STREAMS: Final = 16
_BODY_TIMEOUT_S: Final = 10.0
_WORTH_ZIPPING: Final = 512
_STATIC: Final = "/static/"

_log = structlog.get_logger(__name__)

Query = Mapping[str, str]
Route = Callable[[Query], Awaitable[Answer]]


class Board(Protocol):
    """What is shown: a cluster that lives, or a history."""

    feed: Feed

    def facts(self) -> Mapping[str, object]:
        """What the page is told of it once."""

    def routes(self) -> Mapping[str, Route]:
        """What it answers besides its state, by path; Refused."""

    async def act(self, body: bytes) -> Answer:
        """Carry out an action; Refused."""


class App:
    """Answers the requests of one dashboard."""

    def __init__(self, session: Session, board: Board) -> None:
        self._session = session
        self._board = board
        self._streams: set[asyncio.Task[object]] = set()
        self._routes: dict[str, Route] = {
            "/": self._index,
            "/api/session": self._facts,
            "/api/state": self._state,
            **board.routes(),
        }

    def end_streams(self) -> None:
        """End what would go on for ever."""
        for task in self._streams:
            task.cancel()

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """One request."""
        try:
            answer = await self._answer(request)
        except Refused as refused:
            answer = refused.answer()
        except Exception:
            _log.exception("request_failed", path=request.path)
            answer = Refused(500, "the dashboard failed; its log says how").answer()
        if isinstance(answer, StreamResponse):
            return answer
        return _response(request, answer)

    async def _answer(self, request: BaseRequest) -> Answer | StreamResponse:
        path, _, raw = request.raw_path.partition("?")
        query = dict(parse_qsl(raw, keep_blank_values=True))
        token = query.get("token", "") if path == "/" else ""
        if why := self._session.stranger(request.headers, enters=bool(token)):
            raise Refused(403, why)
        if request.method == "GET" and token:
            return self._enter(request, token)
        if not self._session.known(request.headers):
            if path.startswith("/api/"):
                raise Refused(401, "this dashboard does not know you")
            return pages.stranger()
        if request.method == "POST" and path == "/api/action":
            return await self._act(request)
        if request.method != "GET":
            raise Refused(405, f"{request.method} is not for this")
        if path == "/api/stream":
            return await self._stream(request)
        if path.startswith(_STATIC):
            name = unquote(path.removeprefix(_STATIC))
            return pages.static(name, request.headers.get("If-None-Match", ""))
        route = self._routes.get(path)
        if route is None:
            raise Refused(404, f"there is no {path}")
        return await route(query)

    def _enter(self, request: BaseRequest, token: str) -> Answer:
        if self._session.known(request.headers):  # an address that was good once, from a history
            return Answer(303, headers={"Location": "/"})
        cookie = self._session.exchange(token)
        if not cookie:
            return pages.stranger()
        site = request.headers.get("Sec-Fetch-Site", "")
        return pages.let_in(cookie, from_elsewhere=site not in ("", "none", "same-origin"))

    async def _act(self, request: BaseRequest) -> Answer:
        if not self._session.may_act(request.headers):
            raise Refused(403, "not asked by the page")
        return await self._board.act(await _body(request))

    async def _stream(self, request: BaseRequest) -> StreamResponse:
        if len(self._streams) >= MAX_STREAMS:
            raise Refused(503, f"{MAX_STREAMS} pages are open already")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs each request in one
        self._streams.add(task)
        try:
            return await stream.serve(request, self._board.feed, HEADERS)
        finally:
            self._streams.discard(task)

    async def _index(self, _query: Query) -> Answer:
        return pages.static("index.html", "")

    async def _facts(self, _query: Query) -> Answer:
        return json({"csrf": self._session.csrf, **self._board.facts()})

    async def _state(self, _query: Query) -> Answer:
        feed = self._board.feed
        return Answer(body=feed.encode(feed.state()))


async def _body(request: BaseRequest) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            while chunk := await request.content.read(MAX_BODY_BYTES):
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    request.protocol.close()
                    raise Refused(413, f"an action is at most {MAX_BODY_BYTES} bytes")
                parts.append(chunk)
    except TimeoutError:
        raise Refused(408, "the body did not arrive") from None
    return b"".join(parts)


def _response(request: BaseRequest, answer: Answer) -> Response:
    headers = {**HEADERS, "Content-Type": answer.content_type, **answer.headers}
    body = answer.body
    if len(body) >= _WORTH_ZIPPING and "gzip" in request.headers.get("Accept-Encoding", ""):
        zipping = compressobj(5, wbits=31)
        body = zipping.compress(body) + zipping.flush()
        headers["Content-Encoding"] = "gzip"
    return Response(status=answer.status, body=body, headers=headers)
