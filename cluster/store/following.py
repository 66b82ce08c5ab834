"""A store whose memory follows an engine that others write to as well.

Readers see what has been followed up to `revision`; what is followed becomes visible in the order
of the engine. Who must see what others have written by now waits for it (`fresh`, `reach`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from sys import intern

import structlog
from msgspec.structs import replace

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.cluster.store.keyspace import Keyspace
from kubeherd.cluster.store.newest import Newest
from kubeherd.cluster.store.sharedengine import Compacted, Progress, SharedEngine
from kubeherd.cluster.store.state import AttrsOf, EventType, Record, WatchEvent
from kubeherd.cluster.store.store import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    PROBE_JITTER,
    PROBE_S,
    Store,
    refused,
)
from kubeherd.cluster.store.versions import with_version, without_version

FRESH_S = 3.0
"""How long a reader waits until this server has seen what others wrote, in real seconds
(apiserver/pkg/storage/cacher, v1.36)."""
_ASK_AGAIN_S = 0.1

NOTHING_SHOWN_S = 30.0
"""How long a start waits to be shown more of what there is, in real seconds; as long as more comes
it goes on: who gives up on a slow machine begins anew, and is as slow again."""

_log = structlog.get_logger(__name__)


class FollowingStore(Store):
    """The half of a shared store that reads; see the module."""

    is_shared = True
    expires = True

    def __init__(
        self,
        engine: SharedEngine,
        attrs_of: AttrsOf,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        max_history_bytes: int = MAX_HISTORY_BYTES,
        rng: Rng | None = None,
    ) -> None:
        super().__init__(
            attrs_of, max_history_events=max_history_events, max_history_bytes=max_history_bytes
        )
        self._engine = engine
        self._rng = rng or Rng(0)
        self._failing = False
        self._feed: AsyncIterator[Progress] | None = None
        self._reached: dict[asyncio.Future[None], int] = {}
        """Who waits to be shown a revision, and which."""
        self._newest = Newest(self.newest)

    async def start(self) -> None:
        """Read what there is, with as much of its history as the engine still has."""
        newest = await self._engine.open()
        first = max(1, newest - self._history.max_events)
        try:
            rows = await self._engine.load(first)
        except Compacted as why:
            first = min(max(why.revision, first), newest)
            rows = await self._engine.load(first)
        self._load(rows, first)
        self._feed = self._engine.follow(first)
        try:
            while self.revision < newest:
                async with asyncio.timeout(NOTHING_SHOWN_S):
                    progress = await anext(self._feed)
                self._take(progress)
        except TimeoutError:
            raise StoreError(
                f"of revisions up to {newest} only those up to {self.revision} were shown,"
                f" and nothing more for {NOTHING_SHOWN_S:g} s"
            ) from None

    def _load(self, rows: Sequence[Row], revision: int) -> None:
        self._keyspace = Keyspace()
        self._old_lists.clear()
        for row in rows:
            record = self._record(row)
            if record is not None:
                self._keyspace.load(record, deleted=False)
        self._history.reset(revision)
        self.revision = revision

    def _record(self, row: Row) -> Record | None:
        key = (intern(row.resource_key), intern(row.namespace), row.name)
        try:
            json = with_version(row.value, row.revision)
        except ValueError as why:
            _log.error("object_unreadable", key="/".join(key), error=str(why))
            return None
        return Record(*key, row.revision, row.create_revision, json, self._attrs_of)

    def _take(self, progress: Progress) -> None:
        """Show readers and watchers what was followed."""
        events = []
        for row in progress.rows:
            event = self._event(row)
            if event is not None:
                self._show(event)
                events.append(event)
        self.revision = max(self.revision, progress.revision)
        if events:
            self._publish(events)
        for reached, revision in self._reached.items():
            if revision <= self.revision and not reached.done():
                reached.set_result(None)

    def _publish(self, events: Sequence[WatchEvent]) -> None:
        """Tell watchers of what readers are shown now."""
        self.hub.publish(events)
        self._history.compact()

    async def fresh(self) -> None:
        revision = await self._newest.ask()
        if revision <= self.revision:
            return
        deadline_s = time.monotonic() + FRESH_S
        while not await self._seen(revision):
            if time.monotonic() >= deadline_s:
                raise refused(
                    f"this server is behind: it has seen revision {self.revision} of {revision}"
                )

    async def reach(self, revision: int) -> bool:
        if revision > self.revision:
            await self.fresh()
        return revision <= self.revision

    async def newest(self) -> int:
        """The newest revision. ServiceUnavailable where the engine does not say."""
        try:
            revision = await self._engine.newest()
        except StoreError as why:
            self._not_well(str(why))
            raise refused(str(why)) from None
        self._well()
        return revision

    async def _seen(self, revision: int) -> bool:
        """Whether readers are shown a revision, after a short wait at most; it may be one that
        brings no event, so the engine is asked how far it is."""
        try:
            await self._engine.ask_progress()
        except StoreError as why:
            raise refused(str(why)) from None
        try:
            async with asyncio.timeout(_ASK_AGAIN_S):
                await self._until(revision)
        except TimeoutError:
            return False
        return True

    async def _until(self, revision: int) -> None:
        """Return when readers are shown a revision."""
        if revision <= self.revision:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reached[reached] = revision
        try:
            await reached
        finally:
            self._reached.pop(reached, None)

    def _event(self, row: Row) -> WatchEvent | None:
        previous = self._keyspace.get(row.resource_key, row.namespace, row.name)
        if row.deleted and previous is None:
            return None
        record = self._record(row)
        if record is None and previous is not None:  # gone, as it is for who reads all anew
            row = replace(row, value=without_version(previous.json), deleted=True)
            record = self._record(row)
        if record is None:
            return None
        if row.deleted:
            return WatchEvent(EventType.DELETED, record, previous)
        type_ = EventType.ADDED if previous is None else EventType.MODIFIED
        return WatchEvent(type_, record, previous)

    async def _follow(self) -> None:
        """Show what happens, for ever."""
        feed = self._feed or self._engine.follow(self.revision)
        while True:
            try:
                async for progress in feed:
                    self._take(progress)
            except Compacted:
                feed = self._engine.follow(await self._reload())

    async def _reload(self) -> int:
        """Too long without a connection: read all anew. Whoever watches must list again."""
        while True:
            try:
                revision = await self._engine.newest()
                rows = await self._engine.load(revision)
            except StoreError as why:
                self._not_well(str(why))
                await asyncio.sleep(self._rng.jittered(PROBE_S, PROBE_JITTER))
                continue
            _log.warning("store_reloaded", revision=revision)
            self._load(rows, revision)
            self.hub.expire()
            self._take(Progress(revision))
            return revision

    async def _probe(self) -> None:
        """While nothing can be stored, look whether it is over."""
        while True:
            await asyncio.sleep(self._rng.jittered(PROBE_S, PROBE_JITTER))
            if self._failing:
                try:
                    await self.newest()
                except ApiError:
                    continue

    async def forget(self, revision: int) -> None:
        self._history.compact(revision)
        try:
            await self._engine.compact(revision)
        except StoreError as why:
            _log.warning("store_not_compacted", error=str(why))

    async def close(self) -> None:
        await self._engine.close()

    def _not_well(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            _log.error("store_unreachable", error=why)

    def _well(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("store_recovered")
