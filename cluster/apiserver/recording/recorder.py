"""The recorder: knows who sends the request for which something is written.

It follows the store, and is the outermost layer that requests pass, so that it sees what their
clients see. Invariant: the actor of a write is that of the request in whose task it was staged;
what the server writes by itself is its own.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.private import fence
from kubeherd.cluster.api.private.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.private.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.edge.messages import Answer, ApiRequest, Response
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.recording import requests
from kubeherd.cluster.apiserver.recording.writes import Writes
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.state import WatchEvent
from kubeherd.cluster.store.store import Store
from kubeherd.history import Actor, Record

_SEVERAL = (BATCH_PATH, GROUP_POLL_PATH)
"""What is sent there is several requests, which come here one by one."""
_OWN = Actor(user=SERVER.name)

_actor: ContextVar[Actor] = ContextVar("actor", default=_OWN)


class Recorder:
    """As `server.Layer` and `followed.Follower`. `tell` gets each record, in order; `flush` is
    called when durable writes have been told."""

    def __init__(
        self,
        tell: Callable[[Record], None],
        clock: Clock,
        writes: Writes,
        *,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._flush = flush
        self._clock = clock
        self._writes = writes
        self._actors: dict[int, Actor] = {}
        """Of the writes that are staged and not committed, by revision."""
        self.route_of: Callable[[ApiRequest], Route] | None = None
        """Finds what a request is for; None: requests are not recorded."""

    @property
    def _now(self) -> float:
        return self._clock.now().timestamp()

    # --- the store ---

    def restore(self, store: Store) -> None:
        """Tell of all that exists, in the order of revisions."""
        now = self._now
        stored = [one for key in store.resource_keys() for one in store.list(key)]
        for one in sorted(stored, key=lambda one: one.revision):
            self._tell(self._writes.restored(one, now))
        self._flush()

    def catch_up(self, events: Sequence[WatchEvent]) -> None:
        """Tell of writes that nobody was told of when they became durable."""
        for event in events:
            for record in self._writes.of(event, self._now, None):
                self._tell(record)
        self._flush()

    def staged(self, revision: int) -> None:
        """As `Follower.staged`."""
        self._actors[revision] = _actor.get()

    def made(self, staged: int, revision: int) -> None:
        """As `Follower.made`."""
        actor = self._actors.pop(staged, None)
        if actor is not None and revision:
            self._actors[revision] = actor

    def committed(self, events: Sequence[WatchEvent]) -> None:
        """As `Follower.committed`."""
        now = self._now
        for event in events:
            for record in self._writes.of(event, now, self._actors.get(event.revision)):
                self._tell(record)
        for event in events:  # those of one transaction have one revision
            self._actors.pop(event.revision, None)
        self._flush()

    def forgotten(self) -> None:
        """As `Follower.forgotten`."""
        self._actors.clear()

    # --- requests ---

    async def handle(self, request: ApiRequest, answer: Answer) -> Response:
        """As `Layer.handle`."""
        headers = request.headers
        actor = Actor(
            user=request.user.name,
            user_agent=headers.get("user-agent", ""),
            fence=headers.get(fence.KEY, ""),
        )
        token = _actor.set(actor)
        try:
            route = self._route(request)
            if route is None:
                return await answer(request)
            return await self._observed(request, route, actor, answer)
        finally:
            _actor.reset(token)

    def _route(self, request: ApiRequest) -> Route | None:
        """What is asked for, if the request is to be recorded."""
        if self.route_of is None or request.path in _SEVERAL:
            return None
        try:
            return self.route_of(request)
        except (UnknownPath, errors.ApiError, IndexError):
            return None

    async def _observed(
        self, request: ApiRequest, route: Route, actor: Actor, answer: Answer
    ) -> Response:
        came = self._now
        response: Response | None = None
        try:
            response = await answer(request)
            return response
        finally:
            self._tell(requests.of(request, route, actor, response, (came, self._now)))
