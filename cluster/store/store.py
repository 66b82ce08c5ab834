"""The store: what an API server knows of all objects, and how it changes them.

Two kinds of it have one interface. `local.LocalStore` is the only writer of a file or of nothing;
`shared.SharedStore` shares an etcd with others. What holds for both (ARCHITECTURE.md, "A write is a
function"): a writer looks at `head`, decides, and stages what he wants without an await in between;
readers, watchers and the writer's answer see it when it is durable; whoever waits for it learns one
of four things: it is durable; it was not kept and may be sent again (ServiceUnavailable); somebody
else wrote what it rests on, and it was not kept (Superseded: decide again); or nobody knows
(OutcomeUnknown). Events become visible in the order of their revisions.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from sys import intern
from typing import TYPE_CHECKING

from kubeherd.cluster.api.errors import RETRY_AFTER_S, Expired, ServiceUnavailable
from kubeherd.cluster.runtime.metrics import REQUEST_BOUNDS_S, Histogram
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import FIRST_REVISION
from kubeherd.cluster.store.keyspace import Keyspace
from kubeherd.cluster.store.staged import Staged, Waits
from kubeherd.cluster.store.state import (
    ADDED,
    DELETED,
    MODIFIED,
    Attrs,
    AttrsOf,
    EventType,
    Record,
    WatchEvent,
)
from kubeherd.cluster.store.watch.history import History, undo
from kubeherd.cluster.store.watch.hub import Hub

if TYPE_CHECKING:
    from kubeherd.faults import Fault

MAX_HISTORY_EVENTS = 20_000
MAX_HISTORY_BYTES = 32 * 1024 * 1024

MAX_STAGED = 20_000
"""Writes that may wait for their commit; beyond it the store says that it cannot keep up."""

COMMIT_TIMEOUT_S = 34.0
"""How long a writer waits for its commit, in real seconds: disks do not follow --speed."""

PROBE_S = 0.5
PROBE_JITTER = 0.5
"""While nothing can be stored, the store tries by itself about this often, in real seconds:
nobody else may write, and somebody wants to know that it is over."""

SLOW_COMMIT_S = 2.0
"""A commit that takes longer makes the store unready, as a slow answer of etcd would Kubernetes."""

MAX_MEASURED = 3_000
"""For so many kinds of writes the durations are kept. Those of the oldest are forgotten then,
because custom resources come and go."""

OLD_LISTS_KEPT = 4
"""Lists of the past that are kept for the next page of their readers."""

HeadKey = tuple[str, str, str]
"""(resource key, namespace, name)."""


class Store(ABC):
    """See the module. `attrs_of` makes the attributes of objects that came without any.

    Use it as ``async with running(store):``.
    """

    is_shared = False
    """Whether others write the same objects, so that a decision may rest on an old state."""

    expires = False
    """Objects that were put with a time to live go by themselves."""

    def __init__(
        self,
        attrs_of: AttrsOf,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        max_history_bytes: int = MAX_HISTORY_BYTES,
    ) -> None:
        self._attrs_of = attrs_of
        self._keyspace = Keyspace()
        self._history = History(max_history_events, max_history_bytes)
        self.hub = Hub(self._history)
        self.revision = FIRST_REVISION
        self.waits = Waits(COMMIT_TIMEOUT_S)
        """The waits of writers for their commits."""
        self._head: dict[HeadKey, Staged] = {}
        self._old_lists: OrderedDict[tuple[str, str, int], Sequence[Record]] = OrderedDict()
        self.commit_seconds: dict[tuple[EventType, str], Histogram] = {}
        """How long the commits of writes took, by what they did to which resource."""

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
    @abstractmethod
    def writable(self) -> bool:
        """Whether a write would be stored now, as far as the last ones (or a probe) tell."""

    async def fresh(self) -> None:  # noqa: B027 - whoever writes alone is always right
        """Return when readers are shown every write that anybody was told of before this call.

        ServiceUnavailable where that cannot be found out.
        """

    async def reach(self, revision: int) -> bool:
        """Whether readers are shown a revision, which a client knows of: at once, or soon, if it
        may be another server that told him. ServiceUnavailable as `fresh`."""
        return revision <= self.revision

    # --- writing ---

    def head(self, resource_key: str, namespace: str, name: str) -> Record | None:
        """The newest staged or committed object: what a writer must compare with."""
        staged = self._head.get((resource_key, namespace, name))
        if staged is None:
            return self._keyspace.get(resource_key, namespace, name)
        return None if staged.event.type is DELETED else staged.record

    def heads(self, resource_key: str) -> Iterator[Record]:
        """`head` of every object of a resource, in no particular order."""
        staged = {key[1:]: one for key, one in self._head.items() if key[0] == resource_key}
        for record in self._keyspace.list(resource_key, ""):
            if (record.namespace, record.name) not in staged:
                yield record
        for one in staged.values():
            if one.event.type is not DELETED:
                yield one.record

    def staged(self, resource_key: str, namespace: str, name: str) -> Staged | None:
        """The newest write of this object that is not committed yet, or None.

        An answer that tells what `head` showed has to wait for it: it may still vanish.
        """
        return self._head.get((resource_key, namespace, name))

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """What is staged within is one: all of it is made or none, and none if it raises. What is
        staged within another such block belongs to that."""

    def rest_on(self, resource_key: str, namespace: str, name: str) -> None:  # noqa: B027
        """Within `together`: it is made only while this other object is as `head` shows it; without
        a name, while no object of the resource is newer than what readers are shown."""

    def put(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        json_for: Callable[[int], bytes],
        attrs: Attrs | None = None,
        *,
        ttl_s: int = 0,
    ) -> Staged:
        """Stage a create or update; `json_for` gets the revision and returns the object's JSON.

        Without `attrs` they are made from the JSON when somebody first selects by them. Where
        `expires`, the object goes by itself `ttl_s` real seconds after this, if that is not 0.
        """
        previous = self.head(resource_key, namespace, name)
        if previous is not None:
            return self.replace(previous, json_for, attrs, ttl_s=ttl_s)
        revision = self._next_revision()
        place = (resource_key, intern(namespace), intern(name))
        json = json_for(revision)
        record = Record(*place, revision, revision, json, attrs or self._attrs_of)
        return self._stage(WatchEvent(ADDED, record, None), ttl_s)

    def replace(
        self,
        previous: Record,
        json_for: Callable[[int], bytes],
        attrs: Attrs | None = None,
        *,
        ttl_s: int = 0,
    ) -> Staged:
        """As `put`, where `head` has just shown this one."""
        revision = self._next_revision()
        record = Record(
            previous.resource_key,
            previous.namespace,
            previous.name,
            revision,
            previous.create_revision,
            json_for(revision),
            self._attrs_of if attrs is None else attrs.after(previous.attrs),
        )
        return self._stage(WatchEvent(MODIFIED, record, previous), ttl_s)

    def delete(
        self, resource_key: str, namespace: str, name: str, json_for: Callable[[int], bytes]
    ) -> Staged:
        """Stage a delete of an existing object; `json_for` returns its last state, which carries
        the revision of the deletion. KeyError if there is no such object."""
        previous = self.head(resource_key, namespace, name)
        if previous is None:
            raise KeyError((resource_key, namespace, name))
        revision = self._next_revision()
        record = Record(
            resource_key,
            namespace,
            name,
            revision,
            previous.create_revision,
            json_for(revision),
            previous.attrs,
        )
        return self._stage(WatchEvent(DELETED, record, previous), 0)

    @abstractmethod
    def _next_revision(self) -> int:
        """The revision of what is staged next, or what stands for it until it is known."""

    @abstractmethod
    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        """Let a write begin its way."""

    async def committed(self, staged: Staged) -> Record:
        """Return when the write is durable and visible.

        ServiceUnavailable if it was not kept, Superseded if it was not because somebody else wrote
        before it, OutcomeUnknown if that cannot be said; TimeoutError if it takes more than
        `COMMIT_TIMEOUT_S`, which says nothing either.
        """
        await self.settled(staged)
        return staged.outcome()

    async def settled(self, staged: Staged) -> None:
        """Return when the outcome of a write is known. TimeoutError as `committed`."""
        if not staged.done:
            waiter = self.waits.begin()
            staged.waiters.append(waiter)
            await waiter

    # --- life ---

    @abstractmethod
    async def start(self) -> None:
        """Read what there is. Raises StoreError."""

    @abstractmethod
    async def run(self) -> None:
        """Bring what is staged to where it is durable, until `stop`; the owner runs this as a task.

        Raises when memory and what is durable may differ: the store must be read anew, by another.
        """

    @abstractmethod
    def hurt(self, faults: Sequence["Fault"], rng: Rng) -> None:
        """Writes go wrong as these say, from now on; those that were in force before are over."""

    @abstractmethod
    async def forget(self, revision: int) -> None:
        """Nobody asks any more for what happened up to a revision."""

    @abstractmethod
    def stop(self) -> None:
        """Refuse new writes, end watches; `run` returns when everything staged is committed."""

    @abstractmethod
    async def close(self) -> None:
        """Release the engine; after `run` has returned."""

    # --- for both kinds ---

    def _show(self, event: WatchEvent) -> None:
        """Make one durable event the state that readers see; whoever calls tells the hub."""
        self._keyspace.apply(event)
        self._history.append(event)
        self.revision = event.revision

    def _unstage(self, staged: Staged) -> None:
        """Writers no longer see it, unless something was staged on top."""
        record = staged.event.record
        key = record.place
        if self._head.get(key) is staged:
            del self._head[key]

    def _measure(self, group: Sequence[Staged], took_s: float) -> None:
        kinds: dict[tuple[EventType, str], int] = {}
        for staged in group:
            key = staged.event.type, staged.event.record.resource_key
            kinds[key] = kinds.get(key, 0) + 1
        for key, count in kinds.items():
            seconds = self.commit_seconds.get(key)
            if seconds is None:
                if len(self.commit_seconds) >= MAX_MEASURED:
                    del self.commit_seconds[next(iter(self.commit_seconds))]
                seconds = self.commit_seconds[key] = Histogram(REQUEST_BOUNDS_S)
            seconds.observe(took_s, count)


def refused(why: str) -> ServiceUnavailable:
    """A write that was not kept and may be sent again."""
    return ServiceUnavailable(why, details={"retryAfterSeconds": RETRY_AFTER_S})


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """Open the store and commit in the background; on leaving, commit the rest and close.

    Cancels what runs in it, and raises in a group what `Store.run` raised, if that gives up.
    """
    try:
        await store.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.run(), name="store-commit")
            try:
                yield store
            finally:
                store.stop()
    finally:
        store.waits.close()
        await store.close()
