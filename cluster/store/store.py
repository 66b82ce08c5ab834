"""The store: stage a write at once, commit in groups, show it to readers when it is durable.

Invariants (ARCHITECTURE.md, "Durable before visible"): a write takes the next revision when it is
staged; readers, watchers and the writer's answer see it only after its group is committed; groups
become visible in revision order; a group that cannot be committed vanishes together with everything
staged on top of it. Staging is synchronous: between `head` and `put` nothing else can write, which
makes the event loop the serialisation point.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from sys import intern

import structlog

from kubeherd.cluster.api.errors import Expired, ServiceUnavailable
from kubeherd.cluster.store.engine import FIRST_REVISION, Engine, Row, StoreError
from kubeherd.cluster.store.history import History, undo
from kubeherd.cluster.store.hub import Hub
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

OLD_LISTS_KEPT = 4
"""Lists of the past that are kept for the next page of their readers."""

_log = structlog.get_logger(__name__)

_HeadKey = tuple[str, str, str]


@dataclass(slots=True)
class Staged:
    """A write that has a revision and waits for its commit; await it with `Store.committed`."""

    event: WatchEvent
    waiters: list[asyncio.Future[None]]
    error: Exception | None = None
    done: bool = False

    @property
    def revision(self) -> int:
        return self.event.record.revision

    @property
    def record(self) -> Record:
        return self.event.record

    def finish(self, error: Exception | None) -> None:
        self.error = error
        self.done = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


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
    ) -> None:
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
        self._closing = False
        self._failing = False
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

    @property
    def compacted(self) -> int:
        """The newest revision that is no longer in the event history."""
        return self._history.compacted

    def resource_keys(self) -> Sequence[str]:
        """The resources that have or had objects."""
        return self._keyspace.resource_keys()

    # --- writing ---

    def head(self, resource_key: str, namespace: str, name: str) -> Record | None:
        """The newest staged or committed object: what a writer must compare with."""
        staged = self._head.get((resource_key, namespace, name))
        if staged is None:
            return self._keyspace.get(resource_key, namespace, name)
        return None if staged.event.type is EventType.DELETED else staged.record

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
            raise ServiceUnavailable("the store cannot keep up with the writes, try again later")
        staged = Staged(event, [])
        record = event.record
        self._staged_revision = record.revision
        self._head[record.resource_key, record.namespace, record.name] = staged
        self._pending.append(staged)
        self._wake.set()
        return staged

    async def committed(self, staged: Staged, timeout_s: float = COMMIT_TIMEOUT_S) -> Record:
        """Return when the write is durable and visible.

        ServiceUnavailable if it was not kept; TimeoutError if that is not known after `timeout_s`
        real seconds.
        """
        if not staged.done:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            staged.waiters.append(waiter)
            giving_up = loop.call_later(timeout_s, _give_up, waiter)
            try:
                await waiter
            finally:
                giving_up.cancel()
        if staged.error is not None:
            raise ServiceUnavailable(str(staged.error))
        return staged.record

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
        """Commit what is staged until `close`; the owner runs this as a task."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._commit(self._next_group())
            if self._closing:
                return

    def _next_group(self) -> Sequence[Staged]:
        size_bytes = 0
        for count, staged in enumerate(self._pending, 1):
            size_bytes += len(staged.record.json)
            if count == MAX_GROUP or size_bytes >= MAX_GROUP_BYTES:
                break
        group, self._pending = self._pending[:count], self._pending[count:]
        return group

    async def _commit(self, group: Sequence[Staged]) -> None:
        rows = [_row(staged) for staged in group]
        try:
            await self._engine.commit(rows, self._obsolete, self._history.compacted)
        except StoreError as error:
            if not self._failing:
                self._failing = True
                _log.error("commit_failed", writes=len(group), error=str(error))
            self._roll_back(group, error)
            return
        if self._failing:
            self._failing = False
            _log.info("commit_recovered")
        events = [staged.event for staged in group]
        for staged in group:
            event = staged.event
            self._keyspace.apply(event)
            self._history.append(event)
            record = event.record
            key = (record.resource_key, record.namespace, record.name)
            if self._head.get(key) is staged:
                del self._head[key]
        self.revision = events[-1].revision
        self.hub.publish(events)
        for staged in group:
            staged.finish(None)
        self._obsolete = _superseded(self._history.compact())

    def _roll_back(self, group: Sequence[Staged], error: Exception) -> None:
        """Forget this group and all that was staged on top of it; revisions are not reused."""
        failed = [*group, *self._pending]
        self._pending = []
        self._head.clear()
        for staged in failed:
            staged.finish(error)

    def stop(self) -> None:
        """Refuse new writes, end watches; `run` returns when everything staged is committed."""
        self._closing = True
        self.hub.close()
        self._wake.set()

    async def close(self) -> None:
        """Release the engine; after `run` has returned."""
        await self._engine.close()


def _give_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("the commit takes too long"))


def _row(staged: Staged) -> Row:
    record = staged.record
    return Row(
        record.revision,
        record.create_revision,
        staged.event.type is EventType.DELETED,
        record.resource_key,
        record.namespace,
        record.name,
        record.json,
    )


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
    """Open the store and commit in the background; on leaving, commit the rest and close."""
    store.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.run(), name="store-commit")
        try:
            yield store
        finally:
            store.stop()
    await store.close()
