"""The store: stage a write at once, commit in groups, show it to readers when it is durable.

Invariants (ARCHITECTURE.md, "Durable before visible"): a write takes the next revision when it is
staged; readers, watchers and the writer's answer see it only after its group is committed; groups
become visible in revision order; a group that cannot be committed vanishes together with everything
staged on top of it. Staging is synchronous: between `head` and `put` nothing else can write, which
makes the event loop the serialisation point.

Whoever waits for a write learns one of three things: it is durable; it was not kept and never will
be (ServiceUnavailable, come again); or nobody knows (OutcomeUnknown). After the last the store is
done: what it holds in memory may not be what the disk holds, so it takes no write more and `run`
raises, and its process ends. A client that saw the old state meanwhile saw what was true before the
write; the next process shows what the disk kept, under the same revision or none.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from sys import intern

import structlog

from kubeherd.cluster.api.errors import (
    RETRY_AFTER_S,
    ApiError,
    Expired,
    OutcomeUnknown,
    ServiceUnavailable,
)
from kubeherd.cluster.runtime.metrics import REQUEST_BOUNDS_S, Histogram, stopwatch_s
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store import engine as engines
from kubeherd.cluster.store.engine import FIRST_REVISION, Engine, Row, StoreError
from kubeherd.cluster.store.history import History, undo
from kubeherd.cluster.store.hub import Hub
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import Attrs, AttrsOf, EventType, Keyspace, Record, WatchEvent

MAX_HISTORY_EVENTS = 20_000
MAX_HISTORY_BYTES = 32 * 1024 * 1024
MAX_GROUP = 1_000
MAX_GROUP_BYTES = 4 * 1024 * 1024
"""Writes in one transaction at most, and about so many bytes: the event loop adds them to it."""

MAX_STAGED = 20_000
"""Writes that may wait for their commit; beyond it the store says that it cannot keep up."""

COMMIT_TIMEOUT_S = 34.0
"""How long a writer waits for its commit, in real seconds: disks do not follow --speed."""

PROBE_S = 0.5
PROBE_JITTER = 0.5
"""While the disk refuses writes, the store tries one of its own about this often, in real seconds:
nobody else may write, and somebody wants to know that it is over."""

SLOW_COMMIT_S = 2.0
"""A commit that takes longer makes the store unready, as a slow answer of etcd would Kubernetes."""

OLD_LISTS_KEPT = 4
"""Lists of the past that are kept for the next page of their readers."""

_log = structlog.get_logger(__name__)

_HeadKey = tuple[str, str, str]


class Store:
    """See the module. `attrs_of` makes the attributes of objects that came without any.

    Use it as ``async with running(store):``.
    """

    def __init__(
        self,
        engine: Engine,
        attrs_of: AttrsOf,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        max_history_bytes: int = MAX_HISTORY_BYTES,
        rng: Rng | None = None,
    ) -> None:
        self.engine = engine
        """Its own."""
        self._engine = engine
        self._attrs_of = attrs_of
        self._keyspace = Keyspace()
        self._history = History(max_history_events, max_history_bytes)
        self.hub = Hub(self._history)
        self.revision = FIRST_REVISION
        self._staged_revision = FIRST_REVISION
        self._head: dict[_HeadKey, Staged] = {}
        self._pending: list[Staged] = []
        self._wake = asyncio.Event()
        self._rng = rng or Rng(0)
        self._closing = False
        self._failing = False
        self._committing_since_s: float | None = None
        self.commit_seconds: dict[tuple[EventType, str], Histogram] = {}
        """How long the commits of writes took, by what they did to which resource."""
        self._old_lists: OrderedDict[tuple[str, str, int], Sequence[Record]] = OrderedDict()
        self._obsolete: list[int] = []  # revisions that the next transaction may forget

    # --- reading: committed state only ---

    def get(self, resource_key: str, namespace: str, name: str) -> Record | None:
        """The committed object, or None."""
        return self._keyspace.get(resource_key, namespace, name)

    def list(self, resource_key: str, namespace: str = "") -> Sequence[Record]:
        """Committed objects ordered by storage key (``namespace/name``, bytewise).

        The same sequence until the collection's next write, so work may be cached by its identity.
        """
        return self._keyspace.list(resource_key, namespace)

    def list_on_node(self, resource_key: str, node_name: str) -> Sequence[Record]:
        """The committed objects whose spec.nodeName is this, by index; for pods only."""
        return self._keyspace.on_node(resource_key, node_name)

    def list_at(self, resource_key: str, namespace: str, revision: int) -> Sequence[Record]:
        """The list exactly as it was at `revision` <= `self.revision`; Expired if compacted."""
        if revision >= self.revision:
            return self.list(resource_key, namespace)
        if revision < self._history.compacted:
            raise Expired("The resourceVersion for the provided list is too old.")
        key = (resource_key, namespace, revision)
        found = self._old_lists.get(key)
        if found is None:
            events = self._history.since(resource_key, "", revision)
            if not events:
                return self.list(resource_key, namespace)
            found = undo(self.list(resource_key, namespace), events, namespace)
            self._old_lists[key] = found
            if len(self._old_lists) > OLD_LISTS_KEPT:
                self._old_lists.popitem(last=False)
        return found

    def before(self, resource_key: str, revision: int, events: int) -> int:
        """The revision after which so many events of a resource lie, up to `revision`; as far as
        the history reaches back."""
        return self._history.before(resource_key, revision, events)

    def events_after(self, revision: int) -> Sequence[WatchEvent]:
        """All that was written after a revision, oldest first. Expired if it is too old, or one
        that the store has not reached."""
        if revision > self.revision:
            raise Expired(f"too new resource version: {revision} ({self.revision})")
        return self._history.after(revision)

    @property
    def compacted(self) -> int:
        """The newest revision that is no longer in the event history."""
        return self._history.compacted

    def resource_keys(self) -> Sequence[str]:
        """The resources that have or had objects."""
        return self._keyspace.resource_keys()

    @property
    def writable(self) -> bool:
        """Whether a write would be stored now, as far as the last ones (or a probe) tell."""
        if self._failing:
            return False
        since_s = self._committing_since_s
        return since_s is None or asyncio.get_running_loop().time() - since_s < SLOW_COMMIT_S

    # --- writing ---

    def head(self, resource_key: str, namespace: str, name: str) -> Record | None:
        """The newest staged or committed object: what a writer must compare with."""
        staged = self._head.get((resource_key, namespace, name))
        if staged is None:
            return self._keyspace.get(resource_key, namespace, name)
        return None if staged.event.type is EventType.DELETED else staged.record

    def heads(self, resource_key: str) -> Iterator[Record]:
        """`head` of every object of a resource, in no particular order."""
        staged = {key[1:]: one for key, one in self._head.items() if key[0] == resource_key}
        for record in self._keyspace.list(resource_key, ""):
            if (record.namespace, record.name) not in staged:
                yield record
        for one in staged.values():
            if one.event.type is not EventType.DELETED:
                yield one.record

    def staged(self, resource_key: str, namespace: str, name: str) -> Staged | None:
        """The newest write of this object that is not committed yet, or None.

        An answer that tells what `head` showed has to wait for it: it may still vanish.
        """
        return self._head.get((resource_key, namespace, name))

    def put(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        json_for: Callable[[int], bytes],
        attrs: Attrs | None = None,
    ) -> Staged:
        """Stage a create or update; `json_for` gets the revision and returns the object's JSON.

        Without `attrs` they are made from the JSON when somebody first selects by them.
        """
        previous = self.head(resource_key, namespace, name)
        revision = self._staged_revision + 1
        created = revision if previous is None else previous.create_revision
        json = json_for(revision)
        record = Record(
            resource_key, namespace, name, revision, created, json, attrs or self._attrs_of
        )
        type_ = EventType.ADDED if previous is None else EventType.MODIFIED
        return self._stage(WatchEvent(type_, record, previous))

    def delete(
        self, resource_key: str, namespace: str, name: str, json_for: Callable[[int], bytes]
    ) -> Staged:
        """Stage a delete of an existing object; `json_for` returns its last state, which carries
        the revision of the deletion. KeyError if there is no such object."""
        previous = self.head(resource_key, namespace, name)
        if previous is None:
            raise KeyError((resource_key, namespace, name))
        revision = self._staged_revision + 1
        record = Record(
            resource_key,
            namespace,
            name,
            revision,
            previous.create_revision,
            json_for(revision),
            previous.attrs,
        )
        return self._stage(WatchEvent(EventType.DELETED, record, previous))

    def _stage(self, event: WatchEvent) -> Staged:
        if self._closing:
            raise ServiceUnavailable("the server is shutting down")
        if len(self._pending) >= MAX_STAGED:
            raise _refused("the store cannot keep up with the writes, try again later")
        staged = Staged(event)
        record = event.record
        self._staged_revision = record.revision
        self._head[record.resource_key, record.namespace, record.name] = staged
        self._pending.append(staged)
        self._wake.set()
        return staged

    async def committed(self, staged: Staged, timeout_s: float = COMMIT_TIMEOUT_S) -> Record:
        """Return when the write is durable and visible.

        ServiceUnavailable if it was not kept, OutcomeUnknown if that cannot be said; TimeoutError
        if it takes more than `timeout_s` real seconds, which says nothing either.
        """
        return await staged.finished(timeout_s)

    # --- life ---

    def open(self) -> None:
        """Read everything back from the engine. Raises StoreError."""
        self._history.compacted = self._engine.open()
        self.revision = max(FIRST_REVISION, self._history.compacted)
        for row in self._engine.replay():
            self._replay(row)
        self._staged_revision = self.revision

    def _replay(self, row: Row) -> None:
        key = (intern(row.resource_key), intern(row.namespace), row.name)
        previous = self._keyspace.get(*key)
        record = Record(*key, row.revision, row.create_revision, row.value, self._attrs_of)
        if row.deleted:
            type_ = EventType.DELETED
        else:
            type_ = EventType.ADDED if previous is None else EventType.MODIFIED
        self._keyspace.load(record, deleted=row.deleted)
        if row.revision > self._history.compacted:
            self._history.append(WatchEvent(type_, record, previous))
        self.revision = max(self.revision, row.revision)

    async def run(self) -> None:
        """Commit what is staged until `stop`; the owner runs this as a task.

        Raises when a commit's outcome is unknown: the store must be read back, by a new one.
        """
        while True:
            if not await self._woken():
                await self._commit([])
            self._wake.clear()
            while self._pending:
                await self._commit(self._next_group())
            if self._closing:
                return

    async def _woken(self) -> bool:
        """Wait for something to do; False when it is time for a probe instead."""
        if not self._failing:
            return await self._wake.wait()
        try:
            async with asyncio.timeout(self._rng.jittered(PROBE_S, PROBE_JITTER)):
                return await self._wake.wait()
        except TimeoutError:
            return False

    def _next_group(self) -> Sequence[Staged]:
        size_bytes = 0
        for count, staged in enumerate(self._pending, 1):
            size_bytes += len(staged.record.json)
            if count == MAX_GROUP or size_bytes >= MAX_GROUP_BYTES:
                break
        group, self._pending = self._pending[:count], self._pending[count:]
        return group

    async def _commit(self, group: Sequence[Staged]) -> None:
        """Bring one group to the disk and then to the readers; an empty one is a probe."""
        rows = [staged.row for staged in group]
        started_s = stopwatch_s()
        self._committing_since_s = asyncio.get_running_loop().time()
        try:
            await self._engine.commit(rows, self._obsolete, self._history.compacted)
        except engines.OutcomeUnknown as error:
            _log.error("commit_outcome_unknown", writes=len(group), error=str(error))
            self._give_up(group, str(error))
            raise
        except StoreError as error:
            why = str(error)
            if not self._failing:
                self._failing = True
                _log.error("commit_failed", writes=len(group), error=why)
            if group:
                self._roll_back(group, lambda: _refused(why), why)
            return
        except Exception as error:  # a bug: it may have happened at any point of the commit
            self._give_up(group, type(error).__name__)
            raise
        finally:
            self._committing_since_s = None
        if self._failing:
            self._failing = False
            _log.info("commit_recovered")
        self._measure(group, stopwatch_s() - started_s)
        self._publish(group)
        self._obsolete = _superseded(self._history.compact())

    def _measure(self, group: Sequence[Staged], took_s: float) -> None:
        for staged in group:
            key = (staged.event.type, staged.event.record.resource_key)
            seconds = self.commit_seconds.get(key)
            if seconds is None:
                seconds = self.commit_seconds[key] = Histogram(REQUEST_BOUNDS_S)
            seconds.observe(took_s)

    def _publish(self, group: Sequence[Staged]) -> None:
        """Show a committed group to readers, watchers and its writers."""
        events = [staged.event for staged in group]
        for staged in group:
            event = staged.event
            self._keyspace.apply(event)
            self._history.append(event)
            record = event.record
            key = (record.resource_key, record.namespace, record.name)
            if self._head.get(key) is staged:
                del self._head[key]
            self.revision = event.revision
        self.hub.publish(events)
        for staged in group:
            staged.finish(None)

    def _give_up(self, group: Sequence[Staged], why: str) -> None:
        """Nobody knows whether this group is kept; what was staged on top of it never was."""
        self._closing = self._failing = True
        self._roll_back(group, lambda: OutcomeUnknown(f"the outcome is not known: {why}"), why)

    def _roll_back(self, group: Sequence[Staged], error: Callable[[], ApiError], why: str) -> None:
        """Forget this group, its waiters get what `error` makes, and refuse all that was staged on
        top of it: that has reached no disk. Revisions are not reused."""
        on_top, self._pending = self._pending, []
        self._head.clear()
        for staged in group:
            staged.finish(error())
        for staged in on_top:
            staged.finish(_refused(f"not written, nor what it rests on: {why}"))

    def use(self, engine: Engine | None) -> None:
        """Commit by this engine from now on, which ends in the store's own; None: by that one."""
        self._engine = engine if engine is not None else self.engine

    def stop(self) -> None:
        """Refuse new writes, end watches; `run` returns when everything staged is committed."""
        self._closing = True
        self.hub.close()
        self._wake.set()

    async def close(self) -> None:
        """Release the engine; after `run` has returned."""
        await self._engine.close()


def _refused(why: str) -> ServiceUnavailable:
    """A write that was not kept and may be sent again."""
    return ServiceUnavailable(why, details={"retryAfterSeconds": RETRY_AFTER_S})


def _superseded(events: Sequence[WatchEvent]) -> list[int]:
    """Revisions that nobody can ask for once these events left the history."""
    revisions = []
    for event in events:
        if event.previous is not None:
            revisions.append(event.previous.revision)
        if event.type is EventType.DELETED:
            revisions.append(event.revision)
    return revisions


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """Open the store and commit in the background; on leaving, commit the rest and close.

    Cancels what runs in it, and raises in a group what `Store.run` raised, if that gives up.
    """
    store.open()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.run(), name="store-commit")
            try:
                yield store
            finally:
                store.stop()
    finally:
        await store.close()
