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
    """Names of nodes; ask with ``in``."""

    def __init__(self, names: frozenset[str], ranges: dict[str, list[tuple[int, int]]]) -> None:
        self._names = names
        self._ranges = ranges

    def __contains__(self, name: str) -> bool:
        if name in self._names:
            return True
        found = _NUMBERED.fullmatch(name)
        if found is None:
            return False
        number = int(found[2])
        return any(first <= number <= last for first, last in self._ranges.get(found[1], ()))


def encode(names: Iterable[str]) -> str:
    """The shortest text for these names."""
    numbers: dict[str, list[int]] = {}
    parts: list[str] = []
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found is None:
            parts.append(name)
        else:
            numbers.setdefault(found[1], []).append(int(found[2]))
    for prefix, values in numbers.items():
        for first, last in _runs(sorted(set(values))):
            parts.append(f"{prefix}{first}" if first == last else f"{prefix}:{first}-{last}")
    return ",".join(parts)


@remembered(entries=16, longest=8192)
def parse(text: str) -> NodeSet:
    """The set that a text means. Whatever is no range is taken as a name."""
    names: set[str] = set()
    ranges: dict[str, list[tuple[int, int]]] = {}
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            names.add(part)
        else:
            ranges.setdefault(found[1], []).append((int(found[2]), int(found[3])))
    return NodeSet(frozenset(names), ranges)


def _runs(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Numbers in order as (first, last) of consecutive ones."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1]
            start = index
