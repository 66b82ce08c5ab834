"""An encoded object with holes for the texts in which others differ. Pure."""

import re
from collections.abc import Callable, Sequence

import msgspec


def cut(
    encoded: bytes, marks: Sequence[bytes], token: Callable[[bytes], bytes]
) -> list[bytes] | None:
    """An encoded object, cut at its marks: the bytes between them at even indices, the marks at odd
    ones. None if a mark is part of a longer string. `token` encodes a text."""
    of = {token(mark): mark for mark in marks}
    parts = re.split(b"(" + b"|".join(map(re.escape, of)) + b")", encoded)
    if any(mark in part for part in parts[::2] for mark in marks):
        return None
    return [of[part] if at % 2 else part for at, part in enumerate(parts)]


class Splice(msgspec.Struct, frozen=True, eq=False):
    """An encoded object with holes, each for one of some numbered texts."""

    parts: list[bytes]
    """The bytes before, between and after the holes, and the holes."""
    holes: tuple[tuple[int, int], ...]
    """Of each hole its index in `parts`, and the number of the text that it is for."""

    def made(self, tokens: Sequence[bytes]) -> bytes:
        """The object with these texts, which are encoded already, in the holes."""
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
    """An encoded object with holes instead of marks, with their numbers in `marks`; None if a mark
    is part of a longer string."""
    parts = cut(encoded, marks, token)
    if parts is None:
        return None
    number = {mark: at for at, mark in enumerate(marks)}
    return Splice(parts, tuple((at, number[parts[at]]) for at in range(1, len(parts), 2)))
