"""The committed objects by resource, namespace and name: what readers see. Pure.

Invariants: the keyspace is exactly the effect of all committed events; a list that was returned
never changes.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from kubeherd.cluster.store.state import DELETED, Record, WatchEvent, storage_key

MAX_COLLECTIONS = 1_000
"""When there are so many collections, empty ones are forgotten: custom resources come and go."""

_AFTER_SLASH = "0"  # the character after "/": keys that begin with "ns/" end before "ns0"


class _Order:
    """The keys of a collection, which are sorted when they are asked for. To insert each new key in
    its place would cost more the more objects there are; so keys that came and went are noted, and
    taken into account by the next reader."""

    __slots__ = ("_gone", "_keys", "_new")

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._new: set[str] = set()
        self._gone: set[str] = set()

    def add(self, key: str) -> None:
        """Add a key, which must not be there."""
        self._new.add(key)

    def remove(self, key: str) -> None:
        """Remove a key, which must be there."""
        if key in self._new:
            self._new.remove(key)
        else:
            self._gone.add(key)

    def keys(self) -> list[str]:
        """All keys, in order; the list must not be changed."""
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
        """Whether to move all keys behind each changed one costs less than to look at all keys."""
        return len(changed) * _MOVES_PER_LOOK < len(self._keys)


_MOVES_PER_LOOK = 256
"""So many pointers can be moved in the time that it takes to look at one key."""


class _Collection:
    """All objects of one resource, by their storage keys."""

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
                    return ()  # not kept: there are any number of namespaces without objects
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
        """The objects, ordered by storage key; the same sequence until the next write to them."""
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
        """Carry out a write: at a start there are no events, but the records that they led to."""
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
