"""Nodes that are well: a pass of the node lifecycle controller has nothing to decide about them.

Nearly all nodes are, and a pass over thousands would hold the event loop. Pure. Invariant: a node
is settled only as the very object at which the last look at it found nothing to do; whoever makes
something to do for it that neither its object nor its Lease tells takes it out.
"""

from collections import Counter
from collections.abc import Iterable

from kubeherd.cluster.api.objects import Node
from kubeherd.controller.nodes import taints, zones
from kubeherd.controller.nodes.health import Status


class Settled:
    """The settled nodes by name, and how many of them count in each zone."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._counted: Counter[str] = Counter()

    def others(self, nodes: Iterable[Node]) -> dict[str, Node]:
        """Those of all nodes that are not settled as they are, by name and in their order."""
        settled = self.nodes
        others = {
            name: node for node in nodes if settled.get(name := node.metadata.name) is not node
        }
        for name in others:
            self.drop(name)
        return others

    def settle(self, node: Node, ready: str | None) -> None:
        """After a look at a node that is not settled: it is, if there is nothing to do for it."""
        if ready == Status.TRUE and not taints.clear_change(node.spec.taints):
            self.nodes[node.metadata.name] = node
            if zones.is_counted(node):
                self._counted[zones.zone_key(node.metadata.labels)] += 1

    def drop(self, name: str) -> None:
        """The next pass is to look at this node."""
        node = self.nodes.pop(name, None)
        if node is not None and zones.is_counted(node):
            self._counted[zones.zone_key(node.metadata.labels)] -= 1

    def clear(self) -> None:
        """The next pass is to look at all."""
        self.nodes.clear()
        self._counted.clear()

    def ready_by_zone(self) -> dict[str, list[str | None]]:
        """The Ready statuses of those that count, as `zones.disruption` takes them."""
        return {zone: [Status.TRUE.value] * count for zone, count in self._counted.items() if count}
