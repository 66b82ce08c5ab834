"""The newest lines of a stream, compressed, bounded in bytes: the oldest go first. Pure.

It is made of parts, each with a head from which its lines can be understood without those before.
"""

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

PART_BYTES: Final = 1024 * 1024
"""So many bytes of lines, before compression, are in a part: as much as is read for one moment."""
_BLOCK_BYTES: Final = 256 * 1024
_LEVEL: Final = 3


class Part:
    """Lines from one moment on; `head` is what was before."""

    def __init__(self, since: float, head: bytes) -> None:
        self.since = since
        self._head = zlib.compress(head, _LEVEL)
        self.plain_bytes = 0
        self._blocks: list[bytes] = []
        self._open = bytearray()
        self.bytes = len(self._head)

    def add(self, line: bytes) -> None:
        """One more line, with its end."""
        self._open += line
        self.plain_bytes += len(line)
        self.bytes += len(line)
        if len(self._open) >= _BLOCK_BYTES:
            self.close()

    def close(self) -> None:
        """Compress what is left."""
        if self._open:
            block = zlib.compress(self._open, _LEVEL)
            self._blocks.append(block)
            self.bytes += len(block) - len(self._open)
            self._open = bytearray()

    def reading(self) -> "Reading":
        """All of it, as of now."""
        return Reading(self.since, self._head, tuple(self._blocks), bytes(self._open))


class Reading(msgspec.Struct, frozen=True):
    """A part to be read, in a thread too, while lines are added to it."""

    since: float
    packed: bytes
    blocks: tuple[bytes, ...]
    rest: bytes

    def head(self) -> bytes:
        """What was before its lines."""
        return zlib.decompress(self.packed)

    def lines(self) -> Iterator[bytes]:
        """Its lines."""
        for block in self.blocks:
            yield from zlib.decompress(block).splitlines()
        yield from self.rest.splitlines()


class Archive:
    """At most `limit` bytes, not counting what is not compressed yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: deque[Part] = deque()

    @property
    def oldest(self) -> float | None:
        """Since when there is something."""
        return self._parts[0].since if self._parts else None

    @property
    def full(self) -> bool:
        """Whether the next line begins a part."""
        return not self._parts or self._parts[-1].plain_bytes >= PART_BYTES

    def begin(self, since: float, head: bytes) -> None:
        """Begin a part."""
        if self._parts:
            self._parts[-1].close()
        self._parts.append(Part(since, head))
        while len(self._parts) > 1 and sum(one.bytes for one in self._parts) > self._limit:
            self._parts.popleft()

    def add(self, line: bytes) -> None:
        """One more line, with its end; after `begin`."""
        self._parts[-1].add(line)

    def part_at(self, moment: float) -> Reading | None:
        """The newest part that had begun by then; None: that is forgotten."""
        index = bisect_right(self._parts, moment, key=lambda one: one.since)
        return self._parts[index - 1].reading() if index else None

    def parts(self, since: float = float("-inf"), limit: int | None = None) -> list[Reading]:
        """The parts that reach beyond a moment, oldest first; with a `limit` the newest, of so many
        bytes before compression."""
        first = max(bisect_right(self._parts, since, key=lambda one: one.since) - 1, 0)
        chosen = list(self._parts)[first:]
        while limit is not None and sum(one.plain_bytes for one in chosen) > limit:
            chosen.pop(0)
        return [one.reading() for one in chosen]
