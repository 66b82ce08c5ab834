"""Who wants which events, looked up by what an event is about. Pure.

A watcher's place is what it narrows its resource to: a namespace, a node, a name, any of them
together. Invariants: an event is brought to every place that it may concern and to no other, so it
costs what its interested watchers cost, however many there are; in one place all want the same, but
for a predicate of their own.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from kubeherd.cluster.store.deliveries import WatchFilter
from kubeherd.cluster.store.history import nodes_of
from kubeherd.cluster.store.state import WatchEvent

_Place: TypeAlias = tuple[str, str, str, str]
"""(resource key, namespace, node, name), empty where it is not narrowed."""
_Shape: TypeAlias = tuple[bool, bool, bool]
"""Whether a place is narrowed to a namespace, a node, a name."""

_M = TypeVar("_M")
_ANY: Sequence[str] = ("",)


class Interests(Generic[_M]):
    """Members by place, each place in the order in which they came."""

    def __init__(self) -> None:
        self._members: dict[_Place, dict[_M, None]] = {}
        self._shapes: dict[str, dict[_Shape, int]] = {}
        """By resource: the shapes there are, and the places of each."""

    def add(self, wanted: WatchFilter, member: _M) -> None:
        """From now on `of` has it."""
        place = _place(wanted)
        members = self._members.get(place)
        if members is None:
            members = self._members[place] = {}
            shapes = self._shapes.setdefault(wanted.resource_key, {})
            shape = _shape(wanted)
            shapes[shape] = shapes.get(shape, 0) + 1
        members[member] = None

    def discard(self, wanted: WatchFilter, member: _M) -> None:
        """No longer; unknown ones are ignored."""
        place = _place(wanted)
        members = self._members.get(place)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[place]
            shapes, shape = self._shapes[wanted.resource_key], _shape(wanted)
            shapes[shape] -= 1
            if not shapes[shape]:
                del shapes[shape]
                if not shapes:
                    del self._shapes[wanted.resource_key]

    def of(self, event: WatchEvent) -> Iterator[dict[_M, None]]:
        """The members of each place that the event may concern."""
        record = event.record
        key = record.resource_key
        for by_namespace, by_node, by_name in self._shapes.get(key, ()):
            namespace = record.namespace if by_namespace else ""
            name = record.name if by_name else ""
            for node_name in nodes_of(event) if by_node else _ANY:
                members = self._members.get((key, namespace, node_name, name))
                if members is not None:
                    yield members

    def of_resource(self, resource_key: str) -> Iterator[_M]:
        """All that want something of a resource."""
        for place, members in self._members.items():
            if place[0] == resource_key:
                yield from members

    def __iter__(self) -> Iterator[_M]:
        for members in self._members.values():
            yield from members

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))


def _place(wanted: WatchFilter) -> _Place:
    return wanted.resource_key, wanted.namespace, wanted.node_name, wanted.name


def _shape(wanted: WatchFilter) -> _Shape:
    return bool(wanted.namespace), bool(wanted.node_name), bool(wanted.name)
