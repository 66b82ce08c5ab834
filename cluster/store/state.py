"""The revisioned key-value state, pure: records, the committed keyspace and the event history.

Invariants: revisions only grow; a `Record` never changes once made; the keyspace holds exactly the
effect of all events up to `revision`; the history holds every event with a revision above
`compacted`, in order, each with the record that it replaced.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import msgpack
import orjson

from cluster.api.errors import Expired
from cluster.api.jsontypes import JsonObject


@dataclass(frozen=True, slots=True)
class Attrs:
    """What selectors read of an object: its labels and the values of its selectable fields."""

    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


AttrsOf = Callable[[str, bytes], Attrs]
"""Recomputes the attributes of a stored object: (resource key, its JSON) -> Attrs."""


class Record:
    """One version of one object: its key, its revision and its bytes.

    `attrs` may be given, or is made from the bytes on first use (after a restart).
    """

    __slots__ = (
        "_attrs",
        "_msgpack",
        "create_revision",
        "json",
        "name",
        "namespace",
        "resource_key",
        "revision",
    )

    def __init__(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        revision: int,
        create_revision: int,
        json: bytes,
        attrs: Attrs | AttrsOf,
    ) -> None:
        self.resource_key = resource_key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.create_revision = create_revision
        self.json = json
        self._attrs = attrs
        self._msgpack: bytes | None = None

    @property
    def attrs(self) -> Attrs:
        attrs = self._attrs
        if not isinstance(attrs, Attrs):
            attrs = self._attrs = attrs(self.resource_key, self.json)
        return attrs

    @property
    def msgpack(self) -> bytes:
        """The object as msgpack, made on first need and kept."""
        if self._msgpack is None:
            self._msgpack = msgpack.packb(orjson.loads(self.json))
        return self._msgpack

    def load(self) -> JsonObject:
        """A tree of its own for the caller, who may change it."""
        tree: JsonObject = orjson.loads(self.json)
        return tree


class EventType(Enum):
    """What happened to an object, as watchers see it (spec api-machinery, section 3)."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class WatchEvent:
    """One effective write. `record` is the new state (for DELETED the last one, with the
    revision of the deletion); `previous` the state before, None for ADDED."""

    __slots__ = ("_bodies", "previous", "record", "type")

    def __init__(self, type_: EventType, record: Record, previous: Record | None) -> None:
        self.type = type_
        self.record = record
        self.previous = previous
        self._bodies: dict[tuple[EventType, str], bytes] = {}

    @property
    def revision(self) -> int:
        return self.record.revision

    def encoded(self, type_: EventType, media: str, make: Callable[[], bytes]) -> bytes:
        """The bytes of this event in one form, made once however many watchers get them."""
        body = self._bodies.get((type_, media))
        if body is None:
            body = self._bodies[type_, media] = make()
        return body


Key = tuple[str, str]
"""(namespace, name): the order of lists."""


class _Collection:
    """All objects of one resource, ordered by key."""

    __slots__ = ("_keys", "_listed", "records")

    def __init__(self) -> None:
        self.records: dict[Key, Record] = {}
        self._keys: list[Key] = []
        self._listed: list[Record] | None = None

    def set(self, record: Record) -> None:
        key = (record.namespace, record.name)
        if key not in self.records:
            insort(self._keys, key)
        self.records[key] = record
        self._listed = None

    def remove(self, key: Key) -> None:
        if self.records.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
            self._listed = None

    def list(self, namespace: str) -> Sequence[Record]:
        if namespace:
            low = bisect_left(self._keys, (namespace, ""))
            high = bisect_left(self._keys, (namespace + "\0", ""))
            return [self.records[key] for key in self._keys[low:high]]
        if self._listed is None:
            self._listed = [self.records[key] for key in self._keys]
        return self._listed


class Keyspace:
    """The committed state: what readers see."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}

    def get(self, resource_key: str, namespace: str, name: str) -> Record | None:
        collection = self._collections.get(resource_key)
        return collection.records.get((namespace, name)) if collection else None

    def list(self, resource_key: str, namespace: str = "") -> Sequence[Record]:
        """Ordered by namespace and name; the caller must not change it."""
        collection = self._collections.get(resource_key)
        return collection.list(namespace) if collection else ()

    def apply(self, event: WatchEvent) -> None:
        record = event.record
        collection = self._collections.get(record.resource_key)
        if collection is None:
            collection = self._collections[record.resource_key] = _Collection()
        if event.type is EventType.DELETED:
            collection.remove((record.namespace, record.name))
        else:
            collection.set(record)

    def __len__(self) -> int:
        return sum(len(collection.records) for collection in self._collections.values())

    def resource_keys(self) -> Sequence[str]:
        """The resources that have (or had) objects."""
        return tuple(self._collections)


NODE_NAME_FIELD = "spec.nodeName"
"""The selectable field that has an index of its own: kubelets watch by it."""

IndexKey = tuple[str, str]
"""(resource key, node name or "")."""


def index_keys(event: WatchEvent) -> list[IndexKey]:
    """The indexes that an event belongs to: its resource, and the nodes it is or was bound to."""
    resource_key = event.record.resource_key
    keys = [(resource_key, "")]
    node = event.record.attrs.fields.get(NODE_NAME_FIELD, "")
    if node:
        keys.append((resource_key, node))
    if event.previous is not None:
        before = event.previous.attrs.fields.get(NODE_NAME_FIELD, "")
        if before and before != node:
            keys.append((resource_key, before))
    return keys


class History:
    """The newest events, bounded by number and by bytes, indexed as watchers ask for them."""

    def __init__(self, max_events: int, max_bytes: int, compacted: int = 0) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.compacted = compacted
        self._events: deque[WatchEvent] = deque()
        self._bytes = 0
        self._indexes: dict[IndexKey, deque[WatchEvent]] = {}

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: WatchEvent) -> None:
        self._events.append(event)
        self._bytes += len(event.record.json)
        for key in index_keys(event):
            index = self._indexes.get(key)
            if index is None:
                index = self._indexes[key] = deque()
            index.append(event)

    def compact(self) -> list[WatchEvent]:
        """Drop the oldest events until the bounds hold; returns what was dropped."""
        dropped = []
        while self._events and (
            len(self._events) > self.max_events or self._bytes > self.max_bytes
        ):
            event = self._events.popleft()
            self._bytes -= len(event.record.json)
            self.compacted = event.revision
            for key in index_keys(event):
                index = self._indexes[key]
                index.popleft()
                if not index:
                    del self._indexes[key]
            dropped.append(event)
        return dropped

    def since(self, resource_key: str, node_name: str, revision: int) -> list[WatchEvent]:
        """Events of the index newer than `revision`, oldest first; Expired when it is too old."""
        if revision < self.compacted:
            raise Expired(f"too old resource version: {revision} ({self.compacted})")
        newer: list[WatchEvent] = []
        for event in reversed(self._indexes.get((resource_key, node_name), ())):
            if event.revision <= revision:
                break
            newer.append(event)
        newer.reverse()
        return newer


def undo(
    records: Sequence[Record], events: Sequence[WatchEvent], namespace: str
) -> Sequence[Record]:
    """The list as it was before `events` (ordered, oldest first) happened to it."""
    state = {(record.namespace, record.name): record for record in records}
    for event in reversed(events):
        if namespace and event.record.namespace != namespace:
            continue
        key = (event.record.namespace, event.record.name)
        if event.previous is None:
            state.pop(key, None)
        else:
            state[key] = event.previous
    return [state[key] for key in sorted(state)]
