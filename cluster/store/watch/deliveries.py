"""Which events a watcher wants, and how it sees one of them. Pure."""

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
    """Which events a watcher wants; what is empty or None does not narrow it."""

    resource_key: str
    namespace: str = ""
    node_name: str = ""
    """Only pods of this node."""
    matches: Predicate | None = None
    """What the other members of a filter do not say of label and field selectors."""
    name: str = ""
    nodes: NodeSet | None = None
    """Only pods of these nodes, or only these Nodes."""

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
    """An event as one watcher sees it: through its filter an update may be an ADDED or a DELETED
    (spec api-machinery, section 3). A DELETED for an object that only stopped matching shows
    `event.previous`, with the revision of `event`."""

    type: EventType
    event: WatchEvent

    @property
    def left(self) -> bool:
        """Whether the object still exists, and only stopped matching."""
        return self.type is DELETED and self.event.type is not DELETED


def deliver(event: WatchEvent, wanted: WatchFilter) -> Delivery | None:
    """An event as seen through a filter; None if it is not seen."""
    if event.type is DELETED:
        # it is seen if the state before the deletion was
        visible = wanted.wants(event.previous if event.previous is not None else event.record)
        return Delivery(DELETED, event) if visible else None
    before, after = wanted.wants(event.previous), wanted.wants(event.record)
    if after:
        return Delivery(MODIFIED if before else ADDED, event)
    return Delivery(DELETED, event) if before else None


def node_about(record: Record) -> str:
    """The node of a pod, or the name of a Node; "" for all other objects."""
    return record.name if record.resource_key == NODES else record.node_name


def nodes_of(event: WatchEvent) -> list[str]:
    """The nodes that an event concerns: by its object's state now, and by the one before."""
    now = node_about(event.record)
    before = node_about(event.previous) if event.previous is not None else ""
    return [name for name in dict.fromkeys((now, before)) if name]
