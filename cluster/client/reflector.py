"""List + watch -> cache: keeps a local copy of a collection current for as long as it runs.

To a kubeherd server it long-polls, from any other it reads the watch stream with bookmarks. After
a lost connection it goes on from the last revision; after 410 it lists again and tells handlers the
difference, deletions included. Invariants: the cache only moves forward; handlers see every change
that the cache sees, in order, with the object before and after; trouble is logged once until it
is over; `run` ends only by cancellation or a handler's exception, and may be called again.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

import msgspec
import structlog

from kubeherd.cluster.api.errors import ApiError, Expired, from_status
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.api.private import nodeset
from kubeherd.cluster.api.private.grouppoll import Part
from kubeherd.cluster.api.private.longpoll import POLLED
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.cache import Cache, HasMetadata, key_of
from kubeherd.cluster.client.client import FIRST_PAGE, ApiClient
from kubeherd.cluster.client.listwatch import FULL_POLL_EVENTS, NO_PAUSE, ListWatch, PollPause
from kubeherd.cluster.client.sending import is_msgpack
from kubeherd.cluster.client.transport import JSON, TransportError, TransportResponse, error_of
from kubeherd.cluster.client.wire import (
    BOOKMARK,
    DELETED,
    ERROR,
    Deleted,
    LineSplitter,
    StreamEvent,
    Undecodable,
    decode_poll,
    decoder_for,
)
from kubeherd.cluster.runtime.bell import Bell
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

T = TypeVar("T", bound=HasMetadata)
S = TypeVar("S", bound=HasMetadata)
Handler = Callable[[T | None, T | None], None]

POLL_TIMEOUT_S = 25
POLL_JITTER = 0.4
STREAM_TIMEOUT_S = 300
ANSWER_MARGIN_S = 15
"""Real seconds: how long the server may hold a watch, and how much later we give up on it."""

MAX_NODE_SET_LENGTH = 16_000
"""It is part of the URL; thousands of names without numbers are filtered on this side only."""

BACKOFF_BASE_S = 0.2
BACKOFF_CAP_S = 10.0
SHORT_WATCH_S = 1.0

_log = structlog.get_logger(__name__)


class Reflector(Generic[T]):
    """The cache of one collection and its changes; `pause`: between two polls."""

    def __init__(
        self,
        client: ApiClient,
        source: ListWatch[T],
        *,
        clock: Clock,
        rng: Rng,
        pause: PollPause = NO_PAUSE,
    ) -> None:
        self.cache: Cache[T] = Cache()
        self.synced = asyncio.Event()
        self.revision = 0
        self._client = client
        self._source = source
        self.resource = source.resource
        self._path = source.path
        self._selectors = source.selectors()
        node_set = nodeset.encode(source.nodes)
        self._node_set = node_set if len(node_set) <= MAX_NODE_SET_LENGTH else ""
        self._pause_between = pause
        self._hurry = Bell()
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(rng, base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S)
        self._handlers: list[Handler[T]] = []
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._listed = False
        self._failing = False

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler(old, new)` for every change: old None means added, new None deleted.

        Objects that are in the cache already are told at once as added.
        """
        self._handlers.append(handler)
        for obj in list(self.cache.values()):
            handler(None, obj)

    def relist(self) -> None:
        """Begin with a list when `run` is called next; `synced` is unset until it is there."""
        self._listed = False
        self.synced.clear()

    async def seen(self, revision: int, timeout_s: float) -> None:
        """Return when the cache is at least as new as a revision; TimeoutError after nominal s."""
        if self.revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = revision
        self._hurry.set()
        try:
            await self._clock.wait_for(waiter, timeout_s)
        finally:
            del self._waiters[waiter]

    async def run(self) -> None:
        """List and watch for ever."""
        while True:
            try:
                if not self._listed:
                    await self._list()
                await self._watch()
            except Expired as error:
                self._listed = False
                _log.info(
                    "watch_expired", resource=self._source.resource.plural, error=error.message
                )
                await self._pause()
            except (ApiError, TransportError, msgspec.DecodeError) as error:
                self._report(error)
                await self._pause()

    # --- as a part of a group poll (`cluster.client.grouppoll`) ---

    def part(self) -> Part:
        """What to ask next: the changes since what the cache holds, or a first page to fill it."""
        if not self._listed:
            return Part(self._path, {**self._selectors, **FIRST_PAGE})
        return Part(self._path, {**self._selectors, "resourceVersion": str(self.revision)})

    @property
    def listed(self) -> bool:
        """Whether the cache is full, and `part` asks for changes only."""
        return self._listed

    async def take(self, response: TransportResponse) -> bool:
        """Take the answer to `part`; returns whether the cache may have changed. Raises as
        `ApiClient`; after 410 the next part is a page."""
        try:
            if response.status != 200:
                raise error_of(response)
            if self._listed:
                return self._take_poll(response) > 0
        except Expired:
            self._listed = False
            return False
        page = self._client.page(self._source.resource, response, self._source.into)
        if page.metadata.continue_:
            await self._list()
        else:
            self._fill(page.items or (), page.metadata.resource_version)
        return True

    def nothing_until(self, revision: int) -> None:
        """Nothing has happened up to this revision."""
        if self._listed:
            self._advance(revision)

    async def _pause(self) -> None:
        await self._clock.sleep(self._backoff.next_s())

    def _report(self, error: Exception) -> None:
        if not self._failing and not self._client.unreachable:
            self._failing = True
            _log.warning("watch_failing", resource=self._source.resource.plural, error=str(error))

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._failing:
            self._failing = False
            _log.info("watch_recovered", resource=self._source.resource.plural)

    # --- list ---

    async def _list(self) -> None:
        listed = await self._client.list(
            self._source.resource,
            self._source.into,
            self._source.namespace,
            label_selector=self._source.label_selector,
            field_selector=self._source.field_selector,
            nodes=self._node_set,
        )
        self._fill(listed.items, listed.resource_version)

    def _fill(self, items: Iterable[T], resource_version: str) -> None:
        self._replace(items)
        self._listed = True
        self.revision = 0
        self._advance(int(resource_version or 0))
        self.synced.set()
        if self._failing:
            self._recovered()

    def _replace(self, items: Iterable[T]) -> None:
        """Make the cache equal to a list; tells handlers what changed, deletions first."""
        fresh = {key_of(item): item for item in items if self._source.wants(item)}
        for key in self.cache.keys():  # noqa: SIM118 - a copy: the cache changes below
            if key not in fresh:
                self._tell(self.cache.remove(key), None)
        for key, item in fresh.items():
            old = self.cache.get(*key)
            if old is None or not _same_version(old, item):
                self.cache.put(key, item)
                self._tell(old, item)

    # --- watch ---

    async def _watch(self) -> None:
        """Follow changes; returns when the mode of watching changes or the stream ended."""
        if self._client.private:
            while self._client.private:
                await self._poll()
        else:
            await self._stream()

    def _query(self, timeout_s: int) -> dict[str, str]:
        return {
            "watch": "1",
            "resourceVersion": str(self.revision),
            "timeoutSeconds": str(timeout_s),
            **self._selectors,
        }

    async def _poll(self) -> None:
        held_s = round(self._rng.jittered(POLL_TIMEOUT_S, POLL_JITTER))
        query = {**self._query(held_s), "poll": "1"}
        if self._node_set:
            query["nodes"] = self._node_set
        response = await self._client.send(
            "GET",
            self._path,
            query=query,
            timeout_s=held_s + ANSWER_MARGIN_S,
        )
        if not is_msgpack(response) and response.content_type != POLLED:
            self._client.renounce_private_features()
            return
        events = self._take_poll(response)
        if self._pause_between.from_events <= events < FULL_POLL_EVENTS and not self._waiters:
            await self._let_gather()

    async def _let_gather(self) -> None:
        """Let changes gather until somebody waits for one (`seen`)."""
        self._hurry.clear()
        with suppress(TimeoutError):
            await self._clock.wait_for(self._hurry.wait(), self._pause_between.for_s)

    def _take_poll(self, response: TransportResponse) -> int:
        """Apply the answer to a poll; how many events were in it."""
        packed = is_msgpack(response)
        answer, skipped = decode_poll(response.body, self._source.into, msgpack=packed)
        if int(answer.resource_version) < self.revision:
            raise Expired(f"the server went back to revision {answer.resource_version}")
        self._recovered()
        for bad in skipped:
            self._report_undecodable(bad)
        for event in answer.events:
            if isinstance(event, Deleted):
                self._gone(event.object)
            else:
                self._there(event.object)
        self._advance(int(answer.resource_version))
        return len(answer.events) + len(skipped)

    async def _stream(self) -> None:
        held_s = round(self._rng.jittered(STREAM_TIMEOUT_S, POLL_JITTER))
        query = {**self._query(held_s), "allowWatchBookmarks": "true"}
        splitter = LineSplitter()
        started_s = self._clock.monotonic_s()
        chunks = self._client.transport.stream(
            self._path,
            query=query,
            accept=JSON,
            timeout_s=held_s + ANSWER_MARGIN_S,
        )
        async with aclosing(chunks) as stream:
            async for chunk in stream:
                for event in splitter.feed(chunk):
                    self._take(event)
                self._recovered()
        if self._clock.monotonic_s() - started_s < SHORT_WATCH_S:
            await self._pause()

    def _take(self, event: StreamEvent) -> None:
        if event.type == ERROR:
            raise from_status(event.tree())
        if event.type == BOOKMARK:
            mark: PartialObject = decoder_for(PartialObject, msgpack=False).decode(event.object)
            self._advance(int(mark.metadata.resource_version))
            return
        if event.type == DELETED:
            self._take_one(event.decode(PartialObject), self._gone)
        else:
            self._take_one(event.decode(self._source.into), self._there)

    def _take_one(self, obj: S | Undecodable, act: Callable[[S], None]) -> None:
        if isinstance(obj, Undecodable):
            self._report_undecodable(obj)
            return
        act(obj)
        self._advance(int(obj.metadata.resource_version))

    def _report_undecodable(self, bad: Undecodable) -> None:
        _log.error(
            "object_undecodable",
            resource=self._source.resource.plural,
            name=bad.name,
            error=bad.error,
        )

    # --- changes ---

    def _there(self, obj: T) -> None:
        """An object is new or changed."""
        if self._source.wants(obj):
            self._tell(self.cache.put(key_of(obj), obj), obj)

    def _gone(self, obj: HasMetadata) -> None:
        """An object is no more, of which its name will do."""
        old = self.cache.remove(key_of(obj))
        if old is not None:
            self._tell(old, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        for waiter, wanted in self._waiters.items():
            if wanted <= self.revision and not waiter.done():
                waiter.set_result(None)


def _same_version(old: HasMetadata, new: HasMetadata) -> bool:
    return (
        old.metadata.resource_version == new.metadata.resource_version
        and old.metadata.uid == new.metadata.uid
    )
