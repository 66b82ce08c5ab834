"""Bodies of lists that are put together while they are sent. Pure.

A list of ten thousand objects has twelve megabytes, which the store holds already, object by
object. To join them before sending costs more than all the rest, mostly because of memory that is
not in the processor's caches. Invariant: the pieces, joined, are the body; a piece is made when it
is asked for.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

_COMMA = b",{"


class Joined:
    """The JSON of a list: `head`, the objects without their first `skip` bytes but with the brace
    that begins each, `tail`. At least one object."""

    __slots__ = ("_ends", "_head", "_objects", "_skip", "_tail")

    def __init__(self, head: bytes, objects: Sequence[bytes], skip: int, tail: bytes) -> None:
        self._head = head + b"{"
        self._objects = objects
        self._skip = skip
        self._tail = tail
        more = len(_COMMA) - skip
        self._ends = list(accumulate([len(one) + more for one in objects]))
        """Where each object ends, its comma included."""

    def __len__(self) -> int:
        return len(self._head) + self._ends[-1] - len(_COMMA) + len(self._tail)

    def __bytes__(self) -> bytes:
        return b"".join((self._head, self._some(0, len(self._objects)), self._tail))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The body in pieces of about so many bytes; a long object makes a longer one."""
        yield self._head
        count, ends = len(self._objects), self._ends
        start = 0
        while start < count:
            begun = ends[start - 1] if start else 0
            stop = min(count, bisect_left(ends, begun + size, start) + 1)
            piece = self._some(start, stop)
            yield piece + (_COMMA if stop < count else self._tail)
            start = stop

    def _some(self, start: int, stop: int) -> bytes:
        skip = self._skip
        return _COMMA.join([one[skip:] for one in self._objects[start:stop]])


Body: TypeAlias = bytes | Joined


def pieces(body: Body, size: int) -> Iterator[bytes | memoryview]:
    """A body in pieces of at most so many bytes."""
    if isinstance(body, bytes):
        yield from _cut(body, size)
        return
    for piece in body.pieces(size // 2):
        yield from _cut(piece, size)


def _cut(data: bytes, size: int) -> Iterator[bytes | memoryview]:
    if len(data) <= size:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]
