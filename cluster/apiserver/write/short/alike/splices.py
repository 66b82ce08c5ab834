"""An object's bytes with holes, into which the texts of one that is alike are put. Pure."""

import re
from collections.abc import Callable, Sequence

import msgspec


def cut(
    encoded: bytes, marks: Sequence[bytes], token: Callable[[bytes], bytes]
) -> list[bytes] | None:
    """What was encoded, cut where marks stand as strings: these at odd indices. None if a mark
    stands in anything else."""
    of = {token(mark): mark for mark in marks}
    parts = re.split(b"(" + b"|".join(map(re.escape, of)) + b")", encoded)
    if any(mark in part for part in parts[::2] for mark in marks):
        return None
    return [of[part] if at % 2 else part for at, part in enumerate(parts)]


class Splice(msgspec.Struct, frozen=True, eq=False):
    """An object's bytes with holes: which strings are put where, by their numbers."""

    parts: list[bytes]
    holes: tuple[tuple[int, int], ...]
    """Place in `parts`, number of the string."""

    def made(self, tokens: Sequence[bytes]) -> bytes:
        """The bytes with these strings, as they are written in them."""
        parts = self.parts.copy()
        for at, number in self.holes:
            parts[at] = tokens[number]
        return b"".join(parts)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(map(len, self.parts)) + 64 * len(self.parts)


def splice(
    encoded: bytes, marks: Sequence[bytes], token: Callable[[bytes], bytes]
) -> Splice | None:
    """Holes where marks stand, by their numbers; None if one stands within something else."""
    parts = cut(encoded, marks, token)
    if parts is None:
        return None
    number = {mark: at for at, mark in enumerate(marks)}
    return Splice(parts, tuple((at, number[parts[at]]) for at in range(1, len(parts), 2)))
