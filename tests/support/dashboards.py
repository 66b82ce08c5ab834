"""A dashboard that is served on a real socket, for tests of what it answers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp

from kubeherd.dashboard.web.app import App, Board
from kubeherd.dashboard.web.server import listening, serving
from kubeherd.dashboard.web.session import CSRF_HEADER, Session


class Browser:
    """Asks one dashboard, with the cookie that it was given."""

    def __init__(
        self, http: aiohttp.ClientSession, session: Session, board: Board, base: str
    ) -> None:
        self.board = board
        self.http = http
        self.session = session
        self.base = base
        self.cookie: dict[str, str] = {}

    async def enter(self) -> None:
        """Exchange a new token for a cookie."""
        async with self.http.get(self.session.url(), allow_redirects=False) as answer:
            assert answer.status == 303
            self.cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """The status, and the JSON or the text of the answer."""
        return await self.ask("GET", path, headers=headers)

    async def act(self, **wanted: object) -> tuple[int, Any]:
        """An action as the page asks for it."""
        headers = {CSRF_HEADER: self.session.csrf}
        return await self.ask("POST", "/api/action", json=wanted, headers=headers)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> tuple[int, Any]:
        """Any request."""
        headers = {**self.cookie, **(headers or {})}
        async with self.http.request(
            method, self.base + path, headers=headers, allow_redirects=False, **rest
        ) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())


@asynccontextmanager
async def served(board: Board) -> AsyncIterator[Browser]:
    """A browser that has not entered yet."""
    on, numbers = listening(0), count()
    session = Session(on.getsockname()[1], lambda: f"secret-{next(numbers)}")
    jar = aiohttp.DummyCookieJar()
    async with (
        serving(App(session, board), on),
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        yield Browser(http, session, board, f"http://127.0.0.1:{on.getsockname()[1]}")
