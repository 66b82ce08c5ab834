"""Everything that requests for one resource need, worked out once at start.

A `ServedKind` joins the resource of the URL, the form in which it is stored, its strategy and the
fixed bytes around its objects, so that the hot path does no per-kind work.
"""

from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Definition
from kubeherd.cluster.apiserver import strategies
from kubeherd.cluster.apiserver.read.conversion import (
    ASKS,
    Converter,
    ListConverter,
    Unconverted,
    converters,
    storage_resource,
)
from kubeherd.cluster.apiserver.strategies import Strategy

_META_ORDER = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip

_DEPRECATIONS = {
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
    "endpoints": ("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
}


class ServedKind(msgspec.Struct, frozen=True, eq=False):
    """One served resource. `key` names its storage; `prefix` is how the stored JSON begins."""

    resource: Resource
    storage: Resource
    key: str
    strategy: Strategy
    prefix: bytes
    list_kind: str
    to_served: Converter | None
    to_stored: Converter | None
    to_served_all: ListConverter | None
    """Where the objects of a list are converted together."""
    deprecation: str
    """What every answer warns of, or "" (k8s.io/api/core/v1: lifecycle of the two old kinds)."""

    @property
    def definition(self) -> Definition:
        """The schema in the served version."""
        resource = self.resource
        return schemas.definition(resource.group, resource.version, resource.kind)

    def stored(self, tree: JsonObject) -> JsonObject:
        """`tree` (served version) in the stored version, with keys in the order of Kubernetes."""
        if self.to_stored is not None:
            tree = self.to_stored(tree)
        meta = tree["metadata"]
        ordered = {key: meta[key] for key in _META_ORDER if key in meta}
        out: JsonObject = {
            "kind": self.storage.kind,
            "apiVersion": self.storage.api_version,
            "metadata": ordered,
        }
        for key, value in tree.items():
            if key not in out:
                out[key] = value
        return out

    def served(self, tree: JsonObject) -> JsonObject:
        """A stored tree in the served version."""
        return tree if self.to_served is None else self.to_served(tree)

    def served_all(self, trees: Sequence[JsonObject]) -> list[JsonObject]:
        """The stored trees of a list in the served version."""
        if self.to_served_all is not None:
            return self.to_served_all(trees)
        return [self.served(tree) for tree in trees]

    async def prepare(self, trees: Callable[[], Sequence[JsonObject]], *, store: bool) -> None:
        """Have converted, by a webhook, what is about to be shown or (`store`) changed, where
        nobody could wait for it; `trees` makes fresh stored ones. ApiError if that fails."""
        if self.to_served_all is None:
            return
        for _ in range(ASKS):
            try:
                for tree in self.to_served_all(trees()):
                    if store:
                        self.stored(tree)
            except Unconverted as missing:
                await missing.ask()
            else:
                return


def _served(resource: Resource) -> ServedKind:
    storage = storage_resource(resource)
    both = converters(resource)
    return ServedKind(
        resource=resource,
        storage=storage,
        key=storage.group_resource,
        strategy=strategies.of(resource),
        prefix=f'{{"kind":"{storage.kind}","apiVersion":"{storage.api_version}",'.encode(),
        list_kind=f"{resource.kind}List",
        to_served=both[0] if both else None,
        to_stored=both[1] if both else None,
        to_served_all=None,
        deprecation=_DEPRECATIONS.get(resource.group_resource, ""),
    )


_KINDS: dict[int, ServedKind] = {id(resource): _served(resource) for resource in kinds.ALL}


def of(resource: Resource) -> ServedKind:
    """The `ServedKind` of a resource of `cluster.api.kinds`."""
    return _KINDS[id(resource)]
