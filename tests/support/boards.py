"""A dashboard in the process of its test, which shows what the test tells it."""

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from kubeherd.dashboard.answers import Answer, json
from kubeherd.dashboard.app import App, Route
from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.server import listening, serving
from kubeherd.dashboard.session import Session
from kubeherd.history import Record


class StoryBoard:
    """A `kubeherd.dashboard.app.Board` whose herd lives as it is told; its clock is that of the
    newest record. Actions are noted in `acted`, and nothing else."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.feed = Feed(lambda: self.feed.herd.now)
        self.acted: list[bytes] = []
        self.tell(records)

    def tell(self, records: Iterable[Record]) -> None:
        """What happens next."""
        for record in records:
            self.feed.herd.see(record)

    def facts(self) -> Mapping[str, object]:
        return {"read_only": False, "live": True, "ours": True, "title": "story", "version": "0"}

    def routes(self) -> Mapping[str, Route]:
        return {}

    async def act(self, body: bytes) -> Answer:
        self.acted.append(body)
        return json({"command": "", "done": True, "text": ""})


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
