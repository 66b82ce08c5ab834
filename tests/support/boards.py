"""A dashboard in the process of its test, which shows what the test tells it."""

import secrets
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from browsing import until
from playwright.async_api import Page

from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.past.moments import HISTORY_BYTES, Moments
from kubeherd.dashboard.recorded import Recorded
from kubeherd.dashboard.showing import Showing
from kubeherd.dashboard.web.answers import Answer, json
from kubeherd.dashboard.web.app import App, Query, Route
from kubeherd.dashboard.web.server import listening, serving
from kubeherd.dashboard.web.session import Session
from kubeherd.herd.herd import Herd
from kubeherd.history import Record, Write


class StoryBoard(Recorded):
    """A cluster that lives as it is told; its clock is that of the newest record. Actions are noted
    in `acted`, and nothing else; `log` and `requests` are what it says of them."""

    def __init__(self, records: Iterable[Record] = (), title: str = "story") -> None:
        self.herd = Herd()
        self.acted: list[bytes] = []
        self.log: list[str] = []
        self.requests: list[Mapping[str, object]] = []
        feed = Feed(lambda: self.herd.now)
        feed.become(self.herd)
        self._shown = Showing(feed, Moments(HISTORY_BYTES), title)
        super().__init__(self._shown)
        self.tell(records)

    def tell(self, records: Iterable[Record]) -> None:
        """What happens next."""
        for record in records:
            if isinstance(record, Write):
                self._shown.see(self._shown.moments.shape(record), self.herd)
            else:
                self._shown.see(record, self.herd)

    def state_bytes(self) -> int:
        """How large the first event of a stream is on the wire: the browser tells of what it
        receives of a stream only now and then."""
        return len(zlib.compress(self.feed.encode(self.feed.state()), 5))

    def facts(self) -> Mapping[str, object]:
        return {**super().facts(), "read_only": False, "live": True, "ours": True}

    def routes(self) -> Mapping[str, Route]:
        return {**super().routes(), "/api/log": self._lines, "/api/requests": self._rows}

    async def act(self, body: bytes) -> Answer:
        self.acted.append(body)
        return json({"command": f"kubeherd {body.decode()}", "done": True, "text": "done"})

    async def _lines(self, _query: Query) -> Answer:
        return json({"lines": self.log, "truncated": False})

    async def _rows(self, _query: Query) -> Answer:
        return json({"source": "audit", "hint": "", "rows": self.requests, "window_s": 60})


class Shown:
    """A dashboard that serves; `url` lets one browser in, once."""

    def __init__(self, session: Session, port: int) -> None:
        self.url = session.url()
        self.csrf = session.csrf
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"


@asynccontextmanager
async def shown(board: StoryBoard) -> AsyncIterator[Shown]:
    """Serve a board while the body runs."""
    on = listening(0)
    session = Session(on.getsockname()[1], lambda: secrets.token_urlsafe(32))
    async with serving(App(session, board), on):
        yield Shown(session, on.getsockname()[1])


@asynccontextmanager
async def opened(page: Page, board: StoryBoard, hash_: str = "") -> AsyncIterator[Shown]:
    """A board on a page, when all of it is drawn; `hash_` is the rest of the address."""
    async with shown(board) as serving:
        await page.goto(serving.url)
        if hash_:
            await page.goto(f"{serving.origin}/{hash_}")
        try:
            await drawn(page, board)
            yield serving
        finally:
            await page.goto("about:blank")  # so that it does not miss its server


async def drawn(page: Page, board: StoryBoard) -> None:
    """Wait until the page shows all that the board was told, or all of the moment it is at."""
    await until(
        page,
        """(sequence) => {
          const parts = [...document.querySelectorAll("[data-sequence]")];
          const whole = kubeherd.live ? sequence : kubeherd.sequence;
          const visible = parts.filter((one) => one.checkVisibility());
          return whole && visible.length
            && visible.every((one) => Number(one.dataset.sequence) >= whole);
        }""",
        board.herd.sequence,
    )
    await page.evaluate(  # what has got another size by that is drawn anew in the next frame
        "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )


async def settled(page: Page) -> None:
    """Wait until nothing changes any more but clocks."""
    await page.evaluate(
        """async () => {
          const text = () => document.body.textContent.replace(/[0-9:.]+/g, "");
          for (let same = 0, last = ""; same < 5;) {
            const now = text();
            [same, last] = now === last ? [same + 1, last] : [0, now];
            await new Promise((look) => setTimeout(look, 50));
          }
        }"""
    )
