"""What is shown of a cluster that lives and of a history alike: the herd, now and at any moment."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import TypeVar

from kubeherd.dashboard import views
from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.past.lanes import Recorder
from kubeherd.dashboard.past.moments import Drawn, Forgotten, Moments
from kubeherd.dashboard.web.answers import Answer, Refused, json
from kubeherd.dashboard.web.app import Query, Route
from kubeherd.herd.herd import Herd
from kubeherd.history import Record
from kubeherd.timeline.model import Kind

T = TypeVar("T")


class Showing:
    """A feed, and what was before."""

    def __init__(self, feed: Feed, moments: Moments, title: str) -> None:
        self.feed = feed
        self.moments = moments
        self.title = title
        self._lanes = Recorder()
        self._working = asyncio.Lock()

    def begin(self) -> None:
        """What is told from here on is of another herd."""
        self.moments.anew()
        self._lanes.anew()

    def see(self, record: Record, herd: Herd) -> None:
        """Tell a herd the next record."""
        self.moments.see(record, herd)
        herd.see(record)
        self._lanes.look(herd, herd.now)

    def routes(self) -> Mapping[str, Route]:
        """See `app.Board`."""
        return {
            "/api/range": self._range,
            "/api/lanes": self._of_lanes,
            "/api/at": self._at,
            "/api/timeline": self._timeline,
        }

    async def aside(self, work: Callable[[], T]) -> T:
        """Do something that takes a moment in a thread, one thing at a time."""
        async with self._working:
            return await asyncio.to_thread(work)

    async def herd_at(self, moment: float) -> Herd:
        """The herd at a moment; Refused."""
        try:
            return await self.aside(self.moments.at(moment))
        except Forgotten:
            raise self.forgotten() from None

    def forgotten(self) -> Refused:
        """What to raise for a moment that is too long ago."""
        oldest, _ = self.moments.range
        return Refused(410, "that is too long ago: it is forgotten", oldest=oldest)

    async def _range(self, _query: Query) -> Answer:
        oldest, newest = self.moments.range
        return json({"oldest": oldest, "newest": newest})

    async def _of_lanes(self, _query: Query) -> Answer:
        return json(self._lanes.lanes())

    async def _at(self, query: Query) -> Answer:
        at = moment(query)
        if at is None:
            raise Refused(400, "of which moment? t=seconds since the epoch")
        herd = await self.herd_at(at)
        return await self.aside(lambda: json(views.state(herd, at=at)))

    async def _timeline(self, query: Query) -> Answer:
        since = moment(query, "from")
        until = moment(query, "to")
        draw = self.moments.picture(
            float("-inf") if since is None else since,
            float("inf") if until is None else until,
            self.title,
        )
        return await self.aside(partial(_drawn, draw, int(moment(query, "nodes") or 0)))


def _drawn(draw: Callable[[], Drawn], nodes: int) -> Answer:
    """A picture with at most so many rows of nodes (0: all)."""
    picture = draw()
    if nodes:
        rest = [row for row in picture.rows if row.kind is Kind.NODE][nodes:]
        left_out = {row.name for row in rest}
        picture.rows = [row for row in picture.rows if row.name not in left_out]
    return json(picture)


def moment(query: Query, name: str = "t") -> float | None:
    """A number of the query; None if it is not there. Refused."""
    given = query.get(name, "")
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise Refused(400, f"{name} is no number")
    return number
