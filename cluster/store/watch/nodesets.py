"""Which of some sets of nodes have a node, looked up. Pure.

Fleets follow the pods of their nodes: to ask the set of each about each event costs more the more
fleets there are. Invariant: `of` tells of all sets that are in use, and perhaps of some that were.
"""

from typing import Final

from kubeherd.cluster.api.private.nodeset import NodeSet, numbered

MAX_SETS: Final = 1024
"""Sets that are remembered although nobody uses them now: a poller comes again with the same."""

MAX_NAMES: Final = 20_000
"""Names of nodes whose sets are known; more are looked for anew."""


class NodeSets:
    """See the module."""

    def __init__(self) -> None:
        self._uses: dict[NodeSet, int] = {}
        self._of: dict[str, tuple[NodeSet, ...]] = {}

    def add(self, nodes: NodeSet) -> None:
        """It is used once more."""
        uses = self._uses.get(nodes)
        if uses is None:
            if len(self._uses) >= MAX_SETS:
                self._uses = {one: count for one, count in self._uses.items() if count}
            self._of.clear()
        self._uses[nodes] = (uses or 0) + 1

    def discard(self, nodes: NodeSet) -> None:
        """It is used once less."""
        self._uses[nodes] -= 1

    def of(self, name: str) -> tuple[NodeSet, ...]:
        """The sets that have this node."""
        found = self._of.get(name)
        if found is None:
            if len(self._of) >= MAX_NAMES:
                self._of.clear()
            number = numbered(name)
            found = tuple([one for one in self._uses if one.has(name, number)])
            self._of[name] = found
        return found

    def of_any(self, names: list[str]) -> tuple[NodeSet, ...]:
        """The sets that have one of these nodes, each once."""
        if len(names) == 1:
            return self.of(names[0])
        return tuple(dict.fromkeys([one for name in names for one in self.of(name)]))
