"""Requests that ask for an older revision than their clients did."""

from collections.abc import Callable

from msgspec.structs import replace

from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.faults import rewriting
from kubeherd.cluster.apiserver.faults.matching import Hits
from kubeherd.cluster.store.store import Store
from kubeherd.faults.effects import StaleList, WatchRepeat


class Revisions:
    """Knows which revisions there are. `route_of` finds what a request is for."""

    def __init__(self, store: Store, route_of: Callable[[ApiRequest], Route]) -> None:
        self._store = store
        self._route_of = route_of
        self._repeats = rewriting.Repeats()

    def stale(self, request: ApiRequest, effect: StaleList) -> ApiRequest:
        """A list as the fault makes it."""
        store = self._store
        query = rewriting.stale(request.query, effect, store.revision, store.compacted)
        return request if query is None else replace(request, query=query)

    def repeated(self, request: ApiRequest, hits: Hits) -> ApiRequest:
        """A watch that goes on from a revision, from an older one if that is what hits it; several
        such faults are as the one that repeats most."""
        since = rewriting.resumed_after(request.query)
        effect = _most_repeated(hits)
        if not since or effect is None:
            return request
        resource = self._route_of(request).resource
        key = resource.group_resource if resource.custom is not None else served.of(resource).key
        older = self._store.before(key, since, effect.events)
        return replace(request, query=rewriting.repeated(request.query, older))

    def repeated_once(self, request: ApiRequest, hits: Hits) -> ApiRequest:
        """The same for a poll: each is a resume, but the same one is not repeated twice."""
        if WatchRepeat not in hits:
            return request
        query = request.query
        agent = request.headers.get("user-agent", "")
        what = (query.get("labelSelector", ""), query.get("fieldSelector", ""))
        key = (request.user.name, agent, request.path, *what)
        if not self._repeats.is_new(key, rewriting.resumed_after(query)):
            return request
        return self.repeated(request, hits)


def _most_repeated(hits: Hits) -> WatchRepeat | None:
    effects = [fault.effect for fault in hits.get(WatchRepeat, ())]
    found = [effect for effect in effects if isinstance(effect, WatchRepeat)]
    return max(found, key=lambda effect: effect.events, default=None)
