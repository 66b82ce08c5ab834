"""The objects of the store for those who decide about writes, and facts that follow from them.

Nearly every write asks the same things of the same few objects: whether its namespace is ending,
which account a pod has, which class is the default. Such a fact is kept as long as the store holds
the same version of the object, so that the object is decoded once and not for every write.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.store.state import NODE_INDEXED, Record
from kubeherd.cluster.store.store import Store

MAX_FACTS = 1024
"""So many facts are kept, those that were asked for last. Each is small (`Lookup.fact`)."""

_T = TypeVar("_T")
_Key = tuple[object, str, str, str]
_Version = int | Sequence[Record]
"""The revision of an object, which no other version of it has; or the collection as it was."""


class Reads(msgspec.Struct):
    """What was read of the store to decide something: while the reads `hold`, the same would be
    decided again."""

    heads: list[tuple[str, str, str, Record | None]] = msgspec.field(default_factory=list)
    lists: list[tuple[str, str, Sequence[Record]]] = msgspec.field(default_factory=list)
    unbounded: bool = False
    """More was read than is noted; the reads never hold."""

    def once(self) -> "Reads":
        """The same without repetitions."""
        heads = {one[:3]: one for one in self.heads}
        lists = {one[:2]: one for one in self.lists}
        return Reads(list(heads.values()), list(lists.values()), self.unbounded)

    def hold(self, store: Store) -> bool:
        """Whether all that was read is still the newest."""
        if self.unbounded:
            return False
        for key, space, name, one in self.heads:
            if store.head(key, space, name) is not one:
                return False
        for key, space, records in self.lists:  # noqa: SIM110 - asked for each create
            if store.list(key, space) is not records:
                return False
        return True


class StoredObjects:
    """A `read.lookup.Lookup` over a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._reads: Reads | None = None
        self._facts: OrderedDict[_Key, tuple[_Version, object]] = OrderedDict()

    @contextmanager
    def noting_reads(self) -> Iterator[Reads]:
        """The reads within the block, in which nothing may be awaited."""
        reads = self._reads = Reads()
        try:
            yield reads
        finally:
            self._reads = None

    def _head(self, resource: Resource, namespace: str, name: str) -> Record | None:
        key = resource.group_resource
        record = self.store.head(key, namespace, name)
        if self._reads is not None:
            self._reads.heads.append((key, namespace, name, record))
        return record

    def _records(self, resource: Resource, namespace: str = "") -> Sequence[Record]:
        key = resource.group_resource
        records = self.store.list(key, namespace)
        if self._reads is not None:
            self._reads.lists.append((key, namespace, records))
        return records

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        record = self._head(resource, namespace, name)
        return None if record is None else record.load()

    def json(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        record = self._head(resource, namespace, name)
        return None if record is None else record.json

    def list(self, resource: Resource, namespace: str = "") -> Iterable[JsonObject]:
        for record in self._records(resource, namespace):
            yield record.load()

    def stored(self, resource: Resource) -> Iterable[bytes]:
        return (record.json for record in self._records(resource))

    def newest(
        self, resource: Resource, where: Callable[[Mapping[str, str]], bool]
    ) -> Iterable[JsonObject]:
        if self._reads is not None:
            self._reads.unbounded = True
        for record in self.store.heads(resource.group_resource):
            if where(record.attrs.fields):
                yield record.load()

    def pods_on(self, node_name: str) -> Iterable[JsonObject]:
        if self._reads is not None:
            self._reads.unbounded = True
        for record in self.store.list_on_node(NODE_INDEXED, node_name):
            yield record.load()

    def fact(
        self, resource: Resource, namespace: str, name: str, of: Callable[[JsonObject], _T]
    ) -> _T | None:
        record = self._head(resource, namespace, name)
        if record is None:
            return None
        key = (of, resource.group_resource, namespace, name)
        known = self._facts.get(key)
        if known is not None and known[0] == record.revision:
            self._facts.move_to_end(key)
            return cast("_T", known[1])
        return self._keep(key, record.revision, of(record.load()))

    def fact_of_all(self, resource: Resource, of: Callable[[Iterable[JsonObject]], _T]) -> _T:
        records = self._records(resource)
        if not records:
            return of(())
        key = (of, resource.group_resource, "", "")
        known = self._facts.get(key)
        if known is not None and (known[0] is records or known[0] == records):
            self._facts.move_to_end(key)
            return cast("_T", known[1])
        return self._keep(key, records, of(record.load() for record in records))

    def _keep(self, key: _Key, version: _Version, made: _T) -> _T:
        facts = self._facts
        facts[key] = version, made
        facts.move_to_end(key)
        if len(facts) > MAX_FACTS:
            facts.popitem(last=False)
        return made
