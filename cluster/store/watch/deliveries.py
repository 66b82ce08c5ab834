"""What a watcher wants of the events, and how it sees one of them. Pure."""

from collections.abc import Callable

import msgspec

from kubeherd.cluster.api.private.nodeset import NodeSet
from kubeherd.cluster.store.state import (
    ADDED,
    DELETED,
    MODIFIED,
    NODES,
    EventType,
    Record,
    WatchEvent,
)

Predicate = Callable[[Record], bool]


class WatchFilter(msgspec.Struct, frozen=True):
    """What a watcher wants: a resource, perhaps one namespace, perhaps the pods of one node or
    objects of one name, perhaps the pods of a set of nodes or these Nodes, and a predicate for the
    rest of its label and field selectors."""

    resource_key: str
    namespace: str = ""
    node_name: str = ""
    matches: Predicate | None = None
    name: str = ""
    nodes: NodeSet | None = None

    def wants(self, record: Record | None) -> bool:
        """Whether this state of an object is visible through the filter."""
        if record is None or (self.namespace and record.namespace != self.namespace):
            return False
        if self.name and record.name != self.name:
            return False
        if self.node_name and record.node_name != self.node_name:
            return False
        if self.nodes is not None and node_about(record) not in self.nodes:
            return False
        return self.matches is None or self.matches(record)


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """An event as one watcher sees it: by its filter an update may be an ADDED or a DELETED
    (spec api-machinery, section 3). For a DELETED of an object that only stopped matching the
    state to show is `event.previous` with the revision of `event`."""

    type: EventType
    event: WatchEvent

    @property
    def left(self) -> bool:
        """The object still exists, it only stopped matching."""
        return self.type is DELETED and self.event.type is not DELETED


def deliver(event: WatchEvent, wanted: WatchFilter) -> Delivery | None:
    """The event through a filter, or None if its watcher sees nothing of it."""
    if event.type is DELETED:
        # what a watcher sees go is what it had seen: the state before the deletion
        visible = wanted.wants(event.previous if event.previous is not None else event.record)
        return Delivery(DELETED, event) if visible else None
    before, after = wanted.wants(event.previous), wanted.wants(event.record)
    if after:
        return Delivery(MODIFIED if before else ADDED, event)
    return Delivery(DELETED, event) if before else None


def node_about(record: Record) -> str:
    """The node that a pod is bound to, or that a Node is; "" for all else."""
    return record.name if record.resource_key == NODES else record.node_name


def nodes_of(event: WatchEvent) -> list[str]:
    """The nodes that an event concerns: that of the object now, and that of before."""
    now = node_about(event.record)
    before = node_about(event.previous) if event.previous is not None else ""
    return [name for name in dict.fromkeys((now, before)) if name]
