"""The indices by which a workload finds its pods, or whatever else it owns.

They are the same for all controllers, and so is the cache: whoever comes second gets the index
that the first one made. A look costs what is found, however many pods there are.
"""

from collections.abc import Iterable
from typing import TypeVar

from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.cluster.client.cache import Cache, HasMetadata

T = TypeVar("T", bound=HasMetadata)

_OWNER = "controller-uid"
_ORPHANS = "orphans-of-namespace"
_NAMESPACE = "namespace"


def add_index(cache: Cache[T]) -> None:
    """Index a cache by the UID of the controller and, of objects without one, by namespace."""
    cache.add_index(_OWNER, _owner_uid)
    cache.add_index(_ORPHANS, _orphan_namespace)


def add_namespace_index(cache: Cache[T]) -> None:
    """Index a cache by namespace."""
    cache.add_index(_NAMESPACE, _namespace)


def in_namespace(cache: Cache[T], namespace: str) -> list[T]:
    """All of a namespace."""
    return cache.by_index(_NAMESPACE, namespace)


def owned(cache: Cache[T], uid: str) -> list[T]:
    """What the object with this UID controls."""
    return cache.by_index(_OWNER, uid)


def candidates(cache: Cache[T], owner: ObjectMeta) -> list[T]:
    """What an owner controls, and what it could adopt: all of its namespace without controller."""
    return cache.by_index(_OWNER, owner.uid) + cache.by_index(_ORPHANS, owner.namespace)


def _owner_uid(obj: HasMetadata) -> str | Iterable[str]:
    controller = obj.metadata.controller()
    return () if controller is None else controller.uid


def _orphan_namespace(obj: HasMetadata) -> str | Iterable[str]:
    return obj.metadata.namespace if obj.metadata.controller() is None else ()


def _namespace(obj: HasMetadata) -> str | Iterable[str]:
    return obj.metadata.namespace
