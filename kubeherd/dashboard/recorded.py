"""A recorded run, as the dashboard shows it: every moment of it, and nothing can be done to it."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.api.version import KUBEHERD_VERSION
from kubeherd.dashboard import diff, objects
from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.objects import Key
from kubeherd.dashboard.past.moments import HISTORY_BYTES, Moments, Past
from kubeherd.dashboard.requests import Requests
from kubeherd.dashboard.showing import Showing, moment
from kubeherd.dashboard.web.answers import Answer, Refused, json
from kubeherd.dashboard.web.app import Query, Route
from kubeherd.herd.herd import Herd
from kubeherd.history import Write, files


class Recorded:
    """One history."""

    def __init__(self, showing: Showing) -> None:
        self.feed = showing.feed
        self._showing = showing

    def facts(self) -> Mapping[str, object]:
        """See `app.Board`."""
        return {
            "read_only": True,
            "live": False,
            "ours": False,
            "title": self._showing.title,
            "version": KUBEHERD_VERSION,
        }

    def routes(self) -> Mapping[str, Route]:
        """See `app.Board`."""
        return {
            **self._showing.routes(),
            "/api/object": self._object,
            "/api/diff": self._diff,
            "/api/log": self._log,
            "/api/requests": self._requests,
        }

    async def act(self, _body: bytes) -> Answer:
        """See `app.Board`."""
        raise Refused(403, "this is a recording: nothing can be done to it")

    async def _object(self, query: Query) -> Answer:
        key, at = objects.asked(query), moment(query)
        past = await self._then(key, float("inf") if at is None else at)
        if past.gone and at is not None:
            raise Refused(404, f"{key.resource} {key.name} was no more")
        return json(objects.shown(key, past.object))

    async def _then(self, key: Key, at: float) -> Past:
        found = self._showing.moments.object(key.resource, key.namespace, key.name, at)
        past = await self._showing.aside(found)
        if past is None:
            raise Refused(404, f"nothing is recorded of {key.resource} {key.name} by then")
        return past

    async def _diff(self, query: Query) -> Answer:
        keys = diff.asked(query, self.feed.herd)
        before, after = [(await self._then(key, float("inf"))).object for key in keys]
        return json({"lines": await self._showing.aside(lambda: diff.unified(before, after))})

    async def _log(self, _query: Query) -> Answer:
        raise Refused(404, "a recording has no logs")

    async def _requests(self, _query: Query) -> Answer:
        return json(Requests("none", "a recording tells of writes, not of who asks"))


def read(path: Path) -> Showing:
    """A whole history; KubeherdError if it is none."""
    herd = Herd()
    feed = Feed(lambda: herd.now)
    feed.become(herd)
    showing = Showing(feed, Moments(HISTORY_BYTES), path.name)
    try:
        records = files.whole(path)
        first = next(records, None)
        if first is None:
            raise KubeherdError(f"nothing is recorded in {path}")
        for record in chain([first], records):
            told = showing.moments.shape(record) if isinstance(record, Write) else record
            showing.see(told, herd)
    except (files.HistoryError, OSError) as error:
        raise KubeherdError(f"cannot read {path}: {error}") from None
    return showing
