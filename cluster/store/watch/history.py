"""The newest events, kept so that watchers can resume and old lists can be made again. Pure.

Bounded by number and by bytes; what falls out is compacted. Invariants: holds every event with a
revision above `compacted`, in order; finding what is new for a watcher costs what happened to its
resource (for a kubelet: to the pods of its node) since then, no more; starting decodes no object.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.api.private.nodeset import NodeSet
from kubeherd.cluster.store.state import NODE_INDEXED, Record, WatchEvent
from kubeherd.cluster.store.watch.deliveries import nodes_of
from kubeherd.cluster.store.watch.nodesets import MAX_SETS, NodeSets

_TRIM_SHARE = 16
"""Compaction drops a sixteenth of the bound at once, so that it is rare."""


class History:
    """The events of the store, newest last."""

    def __init__(self, max_events: int, max_bytes: int, compacted: int = 0) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.compacted = compacted
        self._events: deque[WatchEvent] = deque()
        self._bytes = 0
        self._by_resource: dict[str, deque[WatchEvent]] = {}
        self._by_node: dict[str, deque[WatchEvent]] | None = None
        self._by_nodes: dict[tuple[str, NodeSet], deque[WatchEvent]] = {}
        """Of the sets that were asked for, by resource."""
        self._node_sets = NodeSets()

    def __len__(self) -> int:
        return len(self._events)

    def reset(self, compacted: int) -> None:
        """Forget all: what happened up to `compacted` is not known."""
        self.compacted = compacted
        self._events.clear()
        self._bytes = 0
        self._by_resource.clear()
        self._by_node = None
        self._forget_node_sets()

    def append(self, event: WatchEvent) -> None:
        """Add the newest event."""
        event.becomes_past()
        self._events.append(event)
        self._bytes += event.record.size
        resource_key = event.record.resource_key
        of_resource = self._by_resource.get(resource_key)
        if of_resource is None:
            of_resource = self._by_resource[resource_key] = deque()
        of_resource.append(event)
        if self._by_node is not None and resource_key == NODE_INDEXED:
            _add_to_nodes(self._by_node, event)
        if self._by_nodes:
            for index in self._of_node_sets(event):
                index.append(event)

    def compact(self, revision: int = 0) -> list[WatchEvent]:
        """Drop the events up to `revision`, and the oldest if a bound is passed; returns what was
        dropped."""
        dropped = []
        while self._events and self._events[0].revision <= revision:
            dropped.append(self._drop_oldest())
        if len(self._events) <= self.max_events and self._bytes <= self.max_bytes:
            return dropped
        keep_events = self.max_events - self.max_events // _TRIM_SHARE
        keep_bytes = self.max_bytes - self.max_bytes // _TRIM_SHARE
        while self._events and (len(self._events) > keep_events or self._bytes > keep_bytes):
            dropped.append(self._drop_oldest())
        return dropped

    def _drop_oldest(self) -> WatchEvent:
        event = self._events.popleft()
        self._bytes -= event.record.size
        self.compacted = event.revision
        of_resource = self._by_resource[event.record.resource_key]
        of_resource.popleft()
        if not of_resource:  # there is no end of resources that were defined once
            del self._by_resource[event.record.resource_key]
        if self._by_node is not None and event.record.resource_key == NODE_INDEXED:
            for node_name in nodes_of(event):
                index = self._by_node[node_name]
                index.popleft()
                if not index:
                    del self._by_node[node_name]
        for index in self._of_node_sets(event):
            index.popleft()
        return event

    def since(
        self, resource_key: str, node_name: str, revision: int, nodes: NodeSet | None = None
    ) -> list[WatchEvent]:
        """Events newer than `revision`, oldest first; Expired (410) when it is too old.

        `node_name` narrows them to the pods that are or were bound to that node, `nodes` to these
        Nodes or to the pods of theirs.
        """
        if revision < self.compacted:
            raise Expired(f"too old resource version: {revision} ({self.compacted})")
        newer: list[WatchEvent] = []
        for event in reversed(self._candidates(resource_key, node_name, nodes)):
            if event.revision <= revision:
                break
            newer.append(event)
        newer.reverse()
        return newer

    def after(self, revision: int) -> list[WatchEvent]:
        """Events of all resources newer than `revision`, oldest first; Expired as `since`."""
        if revision < self.compacted:
            raise Expired(f"too old resource version: {revision} ({self.compacted})")
        return [event for event in self._events if event.revision > revision]

    def before(self, resource_key: str, revision: int, events: int) -> int:
        """The revision after which `events` events of a resource lie, up to `revision`, or all
        that are kept."""
        for event in reversed(self._by_resource.get(resource_key, _NONE)):
            if event.revision > revision:
                continue
            if events == 0:
                return event.revision
            events -= 1
        return min(revision, self.compacted)

    def changed(self, resource_key: str, revision: int) -> bool:
        """Whether a resource has an event newer than `revision`, or may have had one."""
        events = self._by_resource.get(resource_key, _NONE)
        return revision < self.compacted or bool(events and events[-1].revision > revision)

    def _candidates(
        self, resource_key: str, node_name: str, nodes: NodeSet | None
    ) -> deque[WatchEvent]:
        events = self._by_resource.get(resource_key, _NONE)
        if nodes is not None:
            return self._on_nodes(resource_key, nodes, events)
        if not node_name or resource_key != NODE_INDEXED:
            return events
        if self._by_node is None:
            self._by_node = {}
            for event in events:
                _add_to_nodes(self._by_node, event)
        return self._by_node.get(node_name, _NONE)

    def _on_nodes(
        self, resource_key: str, nodes: NodeSet, events: deque[WatchEvent]
    ) -> deque[WatchEvent]:
        index = self._by_nodes.get((resource_key, nodes))
        if index is None:
            if len(self._by_nodes) >= MAX_SETS:
                self._forget_node_sets()  # those that are still in use come again
            self._node_sets.add(nodes)
            index = deque([one for one in events if any(name in nodes for name in nodes_of(one))])
            self._by_nodes[resource_key, nodes] = index
        return index

    def _of_node_sets(self, event: WatchEvent) -> Iterator[deque[WatchEvent]]:
        """What is kept of an event's nodes by sets."""
        if not self._by_nodes:
            return
        for nodes in self._node_sets.of_any(nodes_of(event)):
            index = self._by_nodes.get((event.record.resource_key, nodes))
            if index is not None:
                yield index

    def _forget_node_sets(self) -> None:
        self._by_nodes.clear()
        self._node_sets = NodeSets()


_NONE: deque[WatchEvent] = deque()


def _add_to_nodes(index: dict[str, deque[WatchEvent]], event: WatchEvent) -> None:
    for node_name in nodes_of(event):
        index.setdefault(node_name, deque()).append(event)


def undo(
    records: Sequence[Record], events: Sequence[WatchEvent], namespace: str
) -> Sequence[Record]:
    """The list as it was before `events` (ordered, oldest first) happened to it."""
    state = {record.key: record for record in records}
    for event in reversed(events):
        if namespace and event.record.namespace != namespace:
            continue
        if event.previous is None:
            state.pop(event.record.key, None)
        else:
            state[event.record.key] = event.previous
    return tuple([state[key] for key in sorted(state)])
