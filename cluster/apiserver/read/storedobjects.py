"""The objects of the store for those who decide about writes, and what they know of them.

Nearly every write asks the same things of the same few objects: whether its namespace is ending,
which account a pod has, which class is the default. What is made of an object is kept while the
store holds the same version of it, so that it is decoded once and not for every write.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

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


class StoredObjects:
    """A `read.lookup.Lookup` over a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._facts: OrderedDict[_Key, tuple[_Version, object]] = OrderedDict()

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        record = self.store.head(resource.group_resource, namespace, name)
        return None if record is None else record.load()

    def list(self, resource: Resource, namespace: str = "") -> Iterable[JsonObject]:
        for record in self.store.list(resource.group_resource, namespace):
            yield record.load()

    def stored(self, resource: Resource) -> Iterable[bytes]:
        return (record.json for record in self.store.list(resource.group_resource))

    def newest(
        self, resource: Resource, where: Callable[[Mapping[str, str]], bool]
    ) -> Iterable[JsonObject]:
        for record in self.store.heads(resource.group_resource):
            if where(record.attrs.fields):
                yield record.load()

    def pods_on(self, node_name: str) -> Iterable[JsonObject]:
        for record in self.store.list_on_node(NODE_INDEXED, node_name):
            yield record.load()

    def fact(
        self, resource: Resource, namespace: str, name: str, of: Callable[[JsonObject], _T]
    ) -> _T | None:
        record = self.store.head(resource.group_resource, namespace, name)
        if record is None:
            return None
        key = (of, resource.group_resource, namespace, name)
        known = self._facts.get(key)
        if known is not None and known[0] == record.revision:
            self._facts.move_to_end(key)
            return cast("_T", known[1])
        return self._keep(key, record.revision, of(record.load()))

    def fact_of_all(self, resource: Resource, of: Callable[[Iterable[JsonObject]], _T]) -> _T:
        records = self.store.list(resource.group_resource)
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
