"""The resources that the CustomResourceDefinitions in the store serve, as one table.

Made anew from the definitions that changed, so that readers see all of a change or nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec

from kubeherd.cluster.api.customresources import definition as definitions
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.customresources.conversion import converters
from kubeherd.cluster.apiserver.customresources.strategy import CustomStrategy
from kubeherd.cluster.apiserver.customresources.webhookconversion import (
    Services,
    WebhookConversion,
)
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.store.state import Record


class _Entry(msgspec.Struct, frozen=True):
    """What one state of a definition serves; `shape` is what watches of its objects rest on."""

    revision: int
    key: str
    shape: tuple[object, ...]
    resources: Sequence[Resource]


class Table:
    """See the module. `update` is called with all definitions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._entries: dict[str, _Entry] = {}
        self.by_group_version: Mapping[tuple[str, str], Mapping[str, Resource]] = {}
        self.kinds: Mapping[int, ServedKind] = {}
        self.resources: tuple[Resource, ...] = ()

    def update(self, records: Sequence[Record]) -> list[str]:
        """Serve these definitions; the storage keys whose watches must end."""
        old, new = self._entries, {}
        for record in records:
            found = old.get(record.name)
            if found is None or found.revision != record.revision:
                found = _entry(record)
            new[record.name] = found
        if new == old:
            return []
        self._entries = new
        self._rebuild()
        gone = [entry for name, entry in old.items() if name not in new]
        changed = [
            entry
            for name, entry in old.items()
            if name in new and entry.resources and new[name].shape != entry.shape
        ]
        return [entry.key for entry in gone + changed]

    def _rebuild(self) -> None:
        found = sorted(
            (r for entry in self._entries.values() for r in entry.resources),
            key=lambda r: (r.group, definitions.priority(r.version), r.plural),
        )
        by_group_version: dict[tuple[str, str], dict[str, Resource]] = {}
        for resource in found:
            by_group_version.setdefault((resource.group, resource.version), {})[resource.plural] = (
                resource
            )
        kept = self.kinds
        self.kinds = {id(r): kept.get(id(r)) or _served(r, self._services) for r in found}
        self.by_group_version = by_group_version
        self.resources = tuple(found)


def custom_kind(definition: JsonObject) -> ServedKind:
    """The objects of a definition as they are stored, also where that version is not served; no
    webhook is asked."""
    return _served(definitions.stored_as(definition), None)


def _entry(record: Record) -> _Entry:
    tree = record.load()
    status = tree.get("status") or {}
    return _Entry(
        revision=record.revision,
        key=record.name,
        shape=(tree["metadata"].get("generation"), repr(status.get("acceptedNames"))),
        resources=definitions.resources(tree),
    )


def _served(resource: Resource, services: Services | None) -> ServedKind:
    custom = resource.custom
    assert custom is not None  # noqa: S101 - the table holds nothing else
    storage = _storage(resource, custom.storage_version)
    both = converters(resource)
    many = None
    if custom.by_webhook and services is not None:
        conversion = WebhookConversion(
            resource, custom, definitions.stored_as(custom.definition), services
        )
        both, many = (conversion.served, conversion.stored), conversion.served_all
    return ServedKind(
        resource=resource,
        storage=storage,
        key=resource.group_resource,
        strategy=CustomStrategy(resource),
        prefix=f'{{"kind":"{storage.kind}","apiVersion":"{storage.api_version}",'.encode(),
        list_kind=_list_kind(custom.definition, resource),
        to_served=both[0] if both else None,
        to_stored=both[1] if both else None,
        to_served_all=many,
        deprecation=custom.warnings[0] if custom.warnings else "",
    )


def _list_kind(definition: JsonObject, resource: Resource) -> str:
    names: JsonObject = (definition.get("status") or {}).get("acceptedNames") or {}
    return str(names.get("listKind") or f"{resource.kind}List")


def _storage(resource: Resource, version: str) -> Resource:
    if resource.version == version:
        return resource
    return Resource(
        group=resource.group,
        version=version,
        plural=resource.plural,
        singular=resource.singular,
        kind=resource.kind,
        namespaced=resource.namespaced,
        verbs=resource.verbs,
        subresources=resource.subresources,
        custom=resource.custom,
    )
