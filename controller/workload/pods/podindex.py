"""The indices by which a workload finds its pods, or whatever else it owns.

They are the same for all controllers, and so is the cache: whoever comes second gets the index
that the first one made. A look costs what is found, however many pods there are.
"""

from collections.abc import Iterable
from typing import TypeVar

from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.cluster.client.cache import Cache, HasMetadata

T = TypeVar("T", bound=HasMetadata)

_OWNER = "controller-uid"
_ORPHANS = "orphans-of-namespace"
_NAMESPACE = "namespace"
_NODE = "spec.nodeName"


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


def selected(cache: Cache[T], namespace: str, selector: Selector) -> list[T]:
    """Those of a namespace that a selector selects."""
    return [one for one in in_namespace(cache, namespace) if selector.matches(one.metadata.labels)]


def add_node_index(cache: Cache[Pod]) -> None:
    """Index a cache of pods by the node that they are bound to, "" for none."""
    cache.add_index(_NODE, _node_name)


def on_node(cache: Cache[Pod], node_name: str) -> list[Pod]:
    """The pods of a node."""
    return cache.by_index(_NODE, node_name)


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


def _node_name(pod: Pod) -> str | Iterable[str]:
    return pod.spec.node_name
