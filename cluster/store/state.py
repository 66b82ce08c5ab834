"""The revisioned key-value state, pure: records, events and the committed keyspace.

Invariants: an object is kept as its JSON bytes only; a `Record` never changes once made; the
keyspace holds exactly the effect of all committed events; a list that was handed out never changes.
Versions and events are part of no reference cycle, and out of the garbage collector's sight: it was
looking at hundreds of thousands of them at a time, for up to 40 ms, to free none.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.store.likeness import WORTH_BYTES, Pieces, has, in_common, pieces


class Attrs(msgspec.Struct, frozen=True, gc=False):
    """What selectors read of an object: its labels and the values of its selectable fields."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)

    def after(self, before: "Attrs") -> "Attrs":
        """The same; what is equal in the version before is held once for both."""
        labels = before.labels if before.labels == self.labels else self.labels
        if before.fields == self.fields:
            return before if labels is before.labels else Attrs(labels, before.fields)
        return Attrs(labels, self.fields)


AttrsOf = Callable[[str, bytes], Attrs]
"""Recomputes the attributes of a stored object: (resource key, its JSON) -> Attrs."""


NODE_INDEXED = "pods"
NODE_NAME_FIELD = "spec.nodeName"
"""The resource and its selectable field that have an index of their own: kubelets watch by it."""

NODES = "nodes"


def storage_key(namespace: str, name: str) -> str:
    """``namespace/name``, or ``name`` for a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


class Record(msgspec.Struct, eq=False, gc=False):
    """One version of one object: its key, its revision and its bytes.

    `attrs` may be given, or is made from the bytes on first use. What a version that is no longer
    the newest has in common with the next one is held once for both.
    """

    resource_key: str
    namespace: str
    name: str
    revision: int
    create_revision: int
    _json: bytes | Pieces
    _attrs: Attrs | AttrsOf
    _common: bytes = b""
    """The part of the bytes that a version before holds, too."""

    def __repr__(self) -> str:
        return f"Record({self.resource_key} {self.key} @{self.revision})"

    @property
    def json(self) -> bytes:
        """The object."""
        json = self._json
        return json if isinstance(json, bytes) else json.joined()

    @property
    def size(self) -> int:
        """The length of its JSON in bytes."""
        return len(self._json)

    def superseded_by(self, newer: "Record") -> None:
        """`newer` is the next version: few ask for this one any more."""
        json = self._json
        if not isinstance(json, bytes) or len(json) < WORTH_BYTES:
            return
        after, common = newer.json, self._common
        if not common or not has(after, common):
            common = in_common(json, after)
        if common:
            newer._common = common
        self._divide(json, common or self._common)

    def settled(self) -> None:
        """There is no next version."""
        if isinstance(self._json, bytes):
            self._divide(self._json, self._common)

    def _divide(self, json: bytes, common: bytes) -> None:
        if common:
            self._json = pieces(json, common)

    @property
    def place(self) -> tuple[str, str, str]:
        """(resource key, namespace, name): what all versions of the object have in common."""
        return self.resource_key, self.namespace, self.name

    @property
    def key(self) -> str:
        """The storage key inside the collection; lists are ordered by it (spec section 2)."""
        return storage_key(self.namespace, self.name)

    @property
    def node_name(self) -> str:
        """The node that the object is bound to; "" for none, and for all kinds but pods."""
        if self.resource_key != NODE_INDEXED:
            return ""
        return self.attrs.fields.get(NODE_NAME_FIELD, "")

    @property
    def attrs(self) -> Attrs:
        """Labels and selectable fields, computed at most once."""
        attrs = self._attrs
        if not isinstance(attrs, Attrs):
            attrs = self._attrs = attrs(self.resource_key, self.json)
        return attrs

    @property
    def msgpack(self) -> bytes:
        """The object as msgpack. Not kept: it would double the memory of the store, and events,
        which go to many watchers, keep their own encodings while they are new."""
        return msgspec.msgpack.encode(orjson.loads(self.json))

    def load(self) -> JsonObject:
        """A tree of its own for the caller, who may change it."""
        tree: JsonObject = orjson.loads(self.json)
        return tree


class EventType(Enum):
    """What happened to an object, as watchers see it (spec api-machinery, section 3)."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"

    __hash__ = object.__hash__  # there is one of each; an Enum's own is slow, and asked per watcher


ADDED, MODIFIED, DELETED = EventType  # to ask the Enum for one is slow, too


class WatchEvent(msgspec.Struct, eq=False, gc=False):
    """One effective write. `record` is the new state (for DELETED the last one, with the
    revision of the deletion); `previous` the state before, None for ADDED."""

    type: EventType
    record: Record
    previous: Record | None
    _bodies: Mapping[tuple[EventType, str], bytes] | None = None
    """Its encodings; None: they are not kept."""

    @property
    def revision(self) -> int:
        return self.record.revision

    def becomes_past(self) -> None:
        """It has happened: what was before it is held as the past is."""
        if self.previous is not None:
            self.previous.superseded_by(self.record)
        if self.type is DELETED:
            self.record.settled()

    def encoded(self, type_: EventType, media: str, make: Callable[[], bytes]) -> bytes:
        """The bytes of this event in one form, made once however many watchers get them while it
        is new."""
        if self._bodies is None:
            return make()
        body = self._bodies.get((type_, media))
        if body is None:
            body = make()
            self._bodies = {**self._bodies, (type_, media): body}
        return body

    @property
    def object_msgpack(self) -> bytes:
        """The event's object as msgpack."""
        return self.encoded(self.type, "object msgpack", lambda: self.record.msgpack)

    def keep_encodings(self) -> None:
        """The event is new: many watchers are about to ask for the same bytes."""
        self._bodies = _NO_BODIES

    def forget_encodings(self) -> None:
        """The event is no longer new: free its encodings; who asks gets them made each time."""
        self._bodies = None


_NO_BODIES: Mapping[tuple[EventType, str], bytes] = {}
"""Of an event that nobody was told of yet: most are, and have none of their own."""

MAX_COLLECTIONS = 1_000
"""Of so many resources it is remembered that they had objects: definitions come and go."""

_AFTER_SLASH = "0"  # the character after "/": keys that begin with "ns/" end before "ns0"


class _Order:
    """The keys of a collection, sorted when they are asked for: to keep each write in order would
    cost more, the more objects there are. Who asks pays for what came and went since."""

    __slots__ = ("_gone", "_keys", "_new")

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._new: set[str] = set()
        self._gone: set[str] = set()

    def add(self, key: str) -> None:
        """A key that is not there comes."""
        self._new.add(key)

    def remove(self, key: str) -> None:
        """A key that is there goes."""
        if key in self._new:
            self._new.remove(key)
        else:
            self._gone.add(key)

    def keys(self) -> list[str]:
        """All of them, in order; not to be changed."""
        if self._gone:  # first: what went may have come again
            self._remove(self._gone)
            self._gone = set()
        if self._new:
            self._insert(self._new)
            self._new = set()
        return self._keys

    def _remove(self, gone: set[str]) -> None:
        keys = self._keys
        if self._are_few(gone):
            for key in gone:
                del keys[bisect_left(keys, key)]
        else:
            self._keys = [key for key in keys if key not in gone]

    def _insert(self, new: set[str]) -> None:
        keys = self._keys
        if self._are_few(new):
            for key in new:
                insort(keys, key)
        else:
            keys += sorted(new)
            keys.sort()  # which merges two sorted parts

    def _are_few(self, changed: set[str]) -> bool:
        """Whether to move the keys behind each costs less than to look at all keys once."""
        return len(changed) * _MOVES_PER_LOOK < len(self._keys)


_MOVES_PER_LOOK = 256
"""So many pointers are moved in the time in which one key is looked at."""


class _Collection:
    """All objects of one resource, in the order of their storage keys."""

    __slots__ = ("_by_node", "_listed", "_order", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self._order = _Order()
        self._listed: dict[str, Sequence[Record]] = {}
        self._by_node: dict[str, dict[str, Record]] | None = None

    def set(self, record: Record) -> None:
        key = record.key
        old = self.records.get(key)
        if old is None:
            self._order.add(key)
        self.records[key] = record
        self._listed.clear()
        if self._by_node is not None:
            if old is not None:
                self._unindex(self._by_node, key, old)
            self._by_node.setdefault(record.node_name, {})[key] = record

    def remove(self, key: str) -> None:
        old = self.records.pop(key, None)
        if old is None:
            return
        self._order.remove(key)
        self._listed.clear()
        if self._by_node is not None:
            self._unindex(self._by_node, key, old)

    def list(self, namespace: str) -> Sequence[Record]:
        listed = self._listed.get(namespace)
        if listed is None:
            keys = self._order.keys()
            if namespace:
                low = bisect_left(keys, f"{namespace}/")
                keys = keys[low : bisect_left(keys, namespace + _AFTER_SLASH, low)]
                if not keys:
                    return ()  # and not kept: there is no end of namespaces without objects
            listed = self._listed[namespace] = tuple([self.records[key] for key in keys])
        return listed

    def on_node(self, node_name: str) -> Sequence[Record]:
        if self._by_node is None:
            self._by_node = {}
            for key, record in self.records.items():
                self._by_node.setdefault(record.node_name, {})[key] = record
        found = self._by_node.get(node_name, {})
        return [found[key] for key in sorted(found)]

    @staticmethod
    def _unindex(by_node: dict[str, dict[str, Record]], key: str, old: Record) -> None:
        bucket = by_node[old.node_name]
        del bucket[key]
        if not bucket:
            del by_node[old.node_name]


class Keyspace:
    """The committed state: what readers see."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}

    def get(self, resource_key: str, namespace: str, name: str) -> Record | None:
        """The object, or None."""
        collection = self._collections.get(resource_key)
        return collection.records.get(storage_key(namespace, name)) if collection else None

    def list(self, resource_key: str, namespace: str = "") -> Sequence[Record]:
        """Ordered by storage key; made once until the collection's next write."""
        collection = self._collections.get(resource_key)
        return collection.list(namespace) if collection else ()

    def on_node(self, resource_key: str, node_name: str) -> Sequence[Record]:
        """The objects bound to a node, ordered by storage key."""
        collection = self._collections.get(resource_key)
        return collection.on_node(node_name) if collection else ()

    def apply(self, event: WatchEvent) -> None:
        """Carry out a committed write."""
        self.load(event.record, deleted=event.type is DELETED)

    def load(self, record: Record, *, deleted: bool) -> None:
        """Carry out a write, of which there is no event while starting."""
        collection = self._own(record.resource_key)
        if deleted:
            collection.remove(record.key)
        else:
            collection.set(record)

    def _own(self, resource_key: str) -> _Collection:
        collection = self._collections.get(resource_key)
        if collection is None:
            if len(self._collections) >= MAX_COLLECTIONS:
                self._forget_empty()
            collection = self._collections[resource_key] = _Collection()
        return collection

    def _forget_empty(self) -> None:
        self._collections = {key: one for key, one in self._collections.items() if one.records}

    def __len__(self) -> int:
        return sum(len(collection.records) for collection in self._collections.values())

    def resource_keys(self) -> Sequence[str]:
        """The resources that have objects, and those that had some not too long ago."""
        return tuple(self._collections)
