"""A store that shares its objects with others, through a `SharedEngine`.

What is true is elsewhere; memory follows it. Readers see what has been followed up to `revision`.
A write is staged like any other and sent as a transaction, which is made only if what it rests on
is still the newest; if not, whoever waits for it gets `Superseded` as soon as the newer state can
be seen, and decides again. Writes of one object go one after the other, each resting on the one
before; others are under way at the same time. Invariants: what is staged becomes visible by being
followed only, so the order in which events are seen is the engine's; a write is answered when it is
visible here; a write whose outcome nobody knows is told so, and what rested on it is decided again.

The revision of a write is not known before it is made. Until then a negative number stands for it,
which no client ever sees: answers wait for the commit.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from sys import intern
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError, ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, Row, StoreError
from kubeherd.cluster.store.newest import Newest
from kubeherd.cluster.store.sharedengine import (
    Compacted,
    Conflict,
    Made,
    Progress,
    SharedEngine,
)
from kubeherd.cluster.store.staged import Staged, Superseded
from kubeherd.cluster.store.state import AttrsOf, EventType, Keyspace, Record, WatchEvent
from kubeherd.cluster.store.store import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    MAX_STAGED,
    PROBE_JITTER,
    PROBE_S,
    SLOW_COMMIT_S,
    HeadKey,
    Store,
    refused,
)
from kubeherd.cluster.store.transaction import Transaction
from kubeherd.cluster.store.versions import with_version, without_version

if TYPE_CHECKING:
    from kubeherd.cluster.store.faulty import FaultySharedEngine
    from kubeherd.faults import Fault

MAX_UNDER_WAY = 256
"""Transactions that the engine has to carry out at a time: more only wait there."""

FRESH_S = 3.0
"""How long a reader waits until this server has seen what others wrote, in real seconds
(apiserver/pkg/storage/cacher, v1.36)."""
_ASK_AGAIN_S = 0.1

NOTHING_SHOWN_S = 30.0
"""How long a start waits to be shown more of what there is, in real seconds; as long as more comes
it goes on: who gives up on a slow machine begins anew, and is as slow again."""
STOPS_WITHIN_S = 5.0
"""How long a stop waits for what is under way; real seconds."""

_log = structlog.get_logger(__name__)


class _Together:
    """See `Store.together`; one for a store, as nobody comes in between."""

    def __init__(self, store: "SharedStore") -> None:
        self._store = store
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            self._store.begin()
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._store.end(made=kind is None)


class SharedStore(Store):
    """See the module."""

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
        self._last_provisional = 0
        self._open: list[Transaction] = []
        self._together = _Together(self)
        self._makers: dict[HeadKey, Transaction] = {}
        self._waiting: list[Transaction] = []
        self._woken = asyncio.Event()
        self._under_way: set[Transaction] = set()
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)
        self._closing = asyncio.Event()
        self._failing = False
        self._faulty: FaultySharedEngine | None = None
        self._feed: AsyncIterator[Progress] | None = None
        self._reached: dict[asyncio.Future[None], int] = {}
        """Who waits to be shown a revision, and which."""
        self._newest = Newest(self.newest)

    @property
    def writable(self) -> bool:
        if self._failing:
            return False
        oldest_s = min((one.began_s for one in self._under_way), default=None)
        return oldest_s is None or time.monotonic() - oldest_s < SLOW_COMMIT_S

    # --- writing ---

    def together(self) -> AbstractContextManager[None]:
        return self._together

    def rest_on(self, resource_key: str, namespace: str, name: str) -> None:
        if self._open:
            self._note(self._open[-1], (resource_key, namespace, name))

    def _next_revision(self) -> int:
        return self._last_provisional - 1

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        if self._closing.is_set():
            raise ServiceUnavailable("the server is shutting down")
        if len(self._waiting) + len(self._under_way) >= MAX_STAGED:
            raise refused("the store cannot keep up with the writes, try again later")
        transaction = self._open[-1] if self._open else Transaction()
        record = event.record
        key = record.place
        if self._makers.get(key) is transaction:  # an object has one state in a transaction
            transaction = Transaction()
            self._open.append(transaction)
        self._note(transaction, key)
        staged = Staged(event, record.revision)
        self._last_provisional = record.revision
        transaction.staged.append(staged)
        transaction.ttls_s.append(ttl_s)
        self._head[key] = staged
        self._makers[key] = transaction
        if not self._open:
            self.send(transaction)
        return staged

    def _note(self, transaction: Transaction, key: HeadKey) -> None:
        if key in transaction.before:
            return
        if not key[2]:
            transaction.before[key] = None, None
            transaction.collections[key] = self.revision
            return
        maker = self._makers.get(key)
        transaction.before[key] = self.head(*key), maker
        if maker is not None:
            maker.resting.append(transaction)

    def begin(self) -> None:
        """What is staged from now on is one."""
        self._open = [Transaction()]

    def end(self, *, made: bool) -> None:
        """It is complete, or is not wanted."""
        opened, self._open = self._open, []
        for transaction in opened if made else ():
            if transaction.staged:
                self.send(transaction)
        for transaction in () if made else reversed(opened):
            for key, (_, maker) in transaction.before.items():
                if self._makers.get(key) is transaction:
                    self._forget_head(key, maker)

    def _forget_head(self, key: HeadKey, maker: "Transaction | None") -> None:
        """In this place `head` shows again what another is about to make, or what is durable."""
        del self._head[key], self._makers[key]
        if maker is not None and not maker.made.done():
            for staged in maker.staged:
                record = staged.event.record
                if record.place == key:
                    self._head[key], self._makers[key] = staged, maker

    def send(self, transaction: Transaction) -> None:
        """It is on its way from now on."""
        self._waiting.append(transaction)
        self._woken.set()

    async def _carry_out(self, transaction: Transaction) -> None:
        """Bring a transaction to its end, whatever that is."""
        error: ApiError | None = errors.OutcomeUnknown("the server stopped meanwhile")
        try:
            error = await self._make(transaction)
        finally:
            self._end(transaction, error)

    def _end(self, transaction: Transaction, error: ApiError | None) -> None:
        """Tell everybody how it ended. What rests on one that was not made ends with it, in the
        same step: nobody may decide again on what is about to vanish."""
        self._under_way.discard(transaction)
        if not transaction.made.done():
            transaction.made.set_result(0)
        for staged in transaction.staged:
            self._unstage(staged)
        for key in transaction.before:
            if self._makers.get(key) is transaction:
                del self._makers[key]
        transaction.before.clear()
        for staged in transaction.staged:
            if not staged.done:
                staged.finish(error)
        resting, transaction.resting = transaction.resting, []
        if error is not None:
            for one in resting:
                self._end(one, Superseded())

    async def _make(self, transaction: Transaction) -> ApiError | None:
        """None when it is made and can be seen."""
        for maker in [maker for _, maker in transaction.before.values() if maker is not None]:
            if not await asyncio.shield(maker.made):
                return Superseded()
        if transaction.made.done():  # ended with what it rests on, before its turn came
            return Superseded()
        try:
            async with self._places:
                outcome = await self._transact(transaction)
        except OutcomeUnknown as why:
            self._not_well(str(why))
            return errors.OutcomeUnknown(str(why))
        except StoreError as why:
            self._not_well(str(why))
            return refused(str(why))
        self._well()
        if isinstance(outcome, Conflict):
            await self._until(outcome.revision)
            return Superseded()
        transaction.made.set_result(outcome.revision)
        for staged in transaction.staged:
            staged.event = self._made(staged.event, transaction)
        await self._until(outcome.revision)
        self._measure(transaction.staged, time.monotonic() - transaction.began_s)
        return None

    async def _transact(self, transaction: Transaction) -> Made | Conflict:
        engine = self._faulty or self._engine
        return await engine.transact(*transaction.changes_and_guards())

    def _made(self, event: WatchEvent, transaction: Transaction) -> WatchEvent:
        """The event of a write that was staged, now that its revision is known."""
        record, key = event.record, event.record.place
        revision = transaction.made.result()
        json = with_version(record.json, revision)
        made = Record(*key, revision, transaction.creation(key), json, self._attrs_of)
        return WatchEvent(event.type, made, event.previous)

    def _not_well(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            _log.error("store_unreachable", error=why)

    def _well(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("store_recovered")

    # --- reading what others wrote ---

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

    # --- life ---

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

    def _own(self, event: WatchEvent) -> Staged | None:
        """The staged write of this store that an event shows, whether its answer has come or not;
        told by the bytes: an object has a uid and times of its own."""
        place = event.record.place
        maker = self._makers.get(place)
        while maker is not None:
            staged = maker.shown_by(event)
            if staged is not None:
                return staged
            maker = maker.before.get(place, (None, None))[1]
        return None

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

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(), name="store-follow")
            probing = tasks.create_task(self._probe(), name="store-probe")
            try:
                while not self._closing.is_set() or self._waiting:
                    self._woken.clear()
                    waiting, self._waiting = self._waiting, []
                    for transaction in waiting:
                        self._under_way.add(transaction)
                        transaction.task = tasks.create_task(self._carry_out(transaction))
                    if not self._waiting and not self._closing.is_set():
                        await self._woken.wait()
                await self._ended()
            finally:
                following.cancel()
                probing.cancel()
                self._newest.close()

    async def _ended(self) -> None:
        """Return when nothing is under way any more, or takes too long for a server that stops."""
        tasks = [one.task for one in self._under_way if one.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOPS_WITHIN_S)
        if late:
            _log.warning("store_stops_with_writes_under_way", writes=len(late))
        for task in late:
            task.cancel()

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

    def hurt(self, faults: Sequence["Fault"], rng: Rng) -> None:
        if self._faulty is not None:
            self._faulty.undo()
        self._faulty = None
        if faults:
            from kubeherd.cluster.store.faulty import FaultySharedEngine  # noqa: PLC0415 - off mostly

            self._faulty = FaultySharedEngine(self._engine, faults, rng)

    async def forget(self, revision: int) -> None:
        self._history.compact(revision)
        try:
            await self._engine.compact(revision)
        except StoreError as why:
            _log.warning("store_not_compacted", error=str(why))

    def stop(self) -> None:
        self._closing.set()
        self.hub.close()
        self._woken.set()

    async def close(self) -> None:
        await self._engine.close()
