"""Which sets of nodes a node is in, remembered by node. Pure.

Each fleet follows the pods of its set of nodes. To ask each set about each event would cost more
the more fleets there are. Invariant: `of` has all sets in use, and may have some that were.
"""

from typing import Final

from kubeherd.cluster.api.private.nodeset import NodeSet, numbered

MAX_SETS: Final = 1024
"""When there are so many, those not in use are forgotten. Until then they are kept, because a
long-poll comes again with the same set."""

MAX_NAMES: Final = 20_000
"""For so many nodes the sets are remembered."""


class NodeSets:
    """See the module."""

    def __init__(self) -> None:
        self._uses: dict[NodeSet, int] = {}
        self._of: dict[str, tuple[NodeSet, ...]] = {}

    def add(self, nodes: NodeSet) -> None:
        """A set is used once more."""
        uses = self._uses.get(nodes)
        if uses is None:
            if len(self._uses) >= MAX_SETS:
                self._uses = {one: count for one, count in self._uses.items() if count}
            self._of.clear()
        self._uses[nodes] = (uses or 0) + 1

    def discard(self, nodes: NodeSet) -> None:
        """A set is used once less."""
        self._uses[nodes] -= 1

    def of(self, name: str) -> tuple[NodeSet, ...]:
        """The sets that a node is in."""
        found = self._of.get(name)
        if found is None:
            if len(self._of) >= MAX_NAMES:
                self._of.clear()
            number = numbered(name)
            found = tuple([one for one in self._uses if one.has(name, number)])
            self._of[name] = found
        return found

    def of_any(self, names: list[str]) -> tuple[NodeSet, ...]:
        """The sets that one of some nodes is in, each once."""
        if len(names) == 1:
            return self.of(names[0])
        return tuple(dict.fromkeys([one for name in names for one in self.of(name)]))
