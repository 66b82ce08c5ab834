"""Which watchers an event concerns, found by look-ups instead of asking each watcher. Pure.

Watchers are grouped by scope: a resource, which may be narrowed to a namespace, a node or a set of
nodes, a name, or several of these. Invariants: an event finds every scope that it is in, and no
other, so its cost depends on the watchers that it concerns, not on how many there are; all watchers
of one scope want the same events, but for a predicate of their own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from kubeherd.cluster.api.private.nodeset import NodeSet
from kubeherd.cluster.store.state import WatchEvent
from kubeherd.cluster.store.watch.deliveries import WatchFilter, nodes_of
from kubeherd.cluster.store.watch.nodesets import NodeSets

_Scope: TypeAlias = tuple[str, str, str, NodeSet | None, str]
"""(resource key, namespace, node, set of nodes, name); empty where it is not narrowed."""
_Shape: TypeAlias = tuple[bool, bool, bool, bool]
"""Whether a scope is narrowed to a namespace, a node, a set of nodes, a name."""

_M = TypeVar("_M")
_ANY_NODE: Sequence[str] = ("",)
_ANY_NODES: Sequence[NodeSet | None] = (None,)


class Interests(Generic[_M]):
    """Members by scope; those of one scope are in the order in which they were added."""

    def __init__(self) -> None:
        self._members: dict[_Scope, dict[_M, None]] = {}
        self._shapes: dict[str, dict[_Shape, int]] = {}
        """By resource: which shapes of scopes there are, and how many scopes of each."""
        self._node_sets = NodeSets()

    def add(self, wanted: WatchFilter, member: _M) -> None:
        """Add a member with what it wants."""
        scope = _scope(wanted)
        members = self._members.get(scope)
        if members is None:
            members = self._members[scope] = {}
            shapes = self._shapes.setdefault(wanted.resource_key, {})
            shape = _shape(wanted)
            shapes[shape] = shapes.get(shape, 0) + 1
            if wanted.nodes is not None:
                self._node_sets.add(wanted.nodes)
        members[member] = None

    def discard(self, wanted: WatchFilter, member: _M) -> None:
        """Remove a member; unknown ones are ignored."""
        scope = _scope(wanted)
        members = self._members.get(scope)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[scope]
            if wanted.nodes is not None:
                self._node_sets.discard(wanted.nodes)
            shapes, shape = self._shapes[wanted.resource_key], _shape(wanted)
            shapes[shape] -= 1
            if not shapes[shape]:
                del shapes[shape]
                if not shapes:
                    del self._shapes[wanted.resource_key]

    def of(self, event: WatchEvent) -> Iterable[dict[_M, None]]:
        """The members of each scope that an event is in."""
        shapes = self._shapes.get(event.record.resource_key)
        return () if shapes is None else self._of_shapes(event, shapes)

    def _of_shapes(self, event: WatchEvent, shapes: Iterable[_Shape]) -> Iterator[dict[_M, None]]:
        record = event.record
        key = record.resource_key
        for by_namespace, by_node, by_nodes, by_name in shapes:
            namespace = record.namespace if by_namespace else ""
            name = record.name if by_name else ""
            for node_name in nodes_of(event) if by_node else _ANY_NODE:
                for nodes in self._node_sets.of_any(nodes_of(event)) if by_nodes else _ANY_NODES:
                    members = self._members.get((key, namespace, node_name, nodes, name))
                    if members is not None:
                        yield members

    def of_resource(self, resource_key: str) -> Iterator[_M]:
        """All members of a resource."""
        for scope, members in self._members.items():
            if scope[0] == resource_key:
                yield from members

    def __iter__(self) -> Iterator[_M]:
        for members in self._members.values():
            yield from members

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))


def _scope(wanted: WatchFilter) -> _Scope:
    return wanted.resource_key, wanted.namespace, wanted.node_name, wanted.nodes, wanted.name


def _shape(wanted: WatchFilter) -> _Shape:
    by_nodes = wanted.nodes is not None
    return bool(wanted.namespace), bool(wanted.node_name), by_nodes, bool(wanted.name)
