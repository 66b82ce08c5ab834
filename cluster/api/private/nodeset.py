"""Sets of node names in few bytes: how a fleet tells the server which nodes are its own. Pure.

`node-:0-499,edge-1`: a range of numbered names as prefix, colon, first and last number, or a name.
A colon is in no node name. Invariant: `parse(encode(names))` has exactly these names.
"""

import re
from collections.abc import Iterable

from kubeherd.cluster.api.memo import remembered

_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,8})")
"""A name that a prefix and a number without leading zeros give back."""
_RANGE = re.compile(r"([^:,]*):([0-9]{1,9})-([0-9]{1,9})")


class NodeSet:
    """Names of nodes; ask with ``in``. Two of the same text are the same."""

    def __init__(
        self, text: str, names: frozenset[str], ranges: dict[str, list[tuple[int, int]]]
    ) -> None:
        self._text = text
        self._names = names
        self._ranges = ranges

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeSet) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __contains__(self, name: str) -> bool:
        return self.has(name, numbered(name))

    def has(self, name: str, number: tuple[str, int] | None) -> bool:
        """As ``in``, given what `numbered` says of the name: for who asks many sets."""
        if name in self._names:
            return True
        if number is not None:
            for first, last in self._ranges.get(number[0], ()):
                if first <= number[1] <= last:
                    return True
        return False


def numbered(name: str) -> tuple[str, int] | None:
    """A name as prefix and number, None if it is none that these give back."""
    found = _NUMBERED.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


def encode(names: Iterable[str]) -> str:
    """The shortest text for these names."""
    numbers: dict[str, list[int]] = {}
    parts: list[str] = []
    for name in names:
        number = numbered(name)
        if number is None:
            parts.append(name)
        else:
            numbers.setdefault(number[0], []).append(number[1])
    for prefix, values in numbers.items():
        for first, last in _runs(sorted(set(values))):
            parts.append(f"{prefix}{first}" if first == last else f"{prefix}:{first}-{last}")
    return ",".join(parts)


@remembered(entries=16, longest=8192)
def parse(text: str) -> NodeSet:
    """The set that a text means. Whatever is no range is taken as a name; nothing is none."""
    names: set[str] = set()
    ranges: dict[str, list[tuple[int, int]]] = {}
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            names.add(part)
        else:
            ranges.setdefault(found[1], []).append((int(found[2]), int(found[3])))
    return NodeSet(text, frozenset(names - {""}), ranges)


def _runs(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Numbers in order as (first, last) of consecutive ones."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1]
            start = index
