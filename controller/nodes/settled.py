"""Settled nodes, for which the node lifecycle controller has nothing to do and which it leaves out.

Nearly all nodes are settled, and to look at thousands in each pass would hold up the event loop.
Pure. Invariant: a node is settled as one version of its object, the one for which the last look
found nothing to do. Whatever makes something to do, and is in neither the Node nor its Lease, has
to unsettle the node.
"""

from collections import Counter
from collections.abc import Iterable

from kubeherd.cluster.api.objects import Node
from kubeherd.controller.nodes import taints, zones
from kubeherd.controller.nodes.health import Status


class Settled:
    """The settled nodes by name, and how many of them are counted in each zone."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._counted: Counter[str] = Counter()

    def others(self, nodes: Iterable[Node]) -> dict[str, Node]:
        """The nodes that are not settled in their present version, by name and in their order."""
        settled = self.nodes
        others = {
            name: node for node in nodes if settled.get(name := node.metadata.name) is not node
        }
        for name in others:
            self.drop(name)
        return others

    def settle(self, node: Node, ready: str | None) -> None:
        """A node was looked at: it is settled if there is nothing to do for it."""
        if ready == Status.TRUE and not taints.clear_change(node.spec.taints):
            self.nodes[node.metadata.name] = node
            if zones.is_counted(node):
                self._counted[zones.zone_key(node.metadata.labels)] += 1

    def drop(self, name: str) -> None:
        """Unsettle a node: the next pass looks at it."""
        node = self.nodes.pop(name, None)
        if node is not None and zones.is_counted(node):
            self._counted[zones.zone_key(node.metadata.labels)] -= 1

    def clear(self) -> None:
        """Unsettle all nodes."""
        self.nodes.clear()
        self._counted.clear()

    def ready_by_zone(self) -> dict[str, list[str | None]]:
        """The Ready statuses of the counted nodes by zone, for `zones.disruption`."""
        return {zone: [Status.TRUE.value] * count for zone, count in self._counted.items() if count}
