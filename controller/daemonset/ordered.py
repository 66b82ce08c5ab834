"""A sorted set of keys, such as the names of the nodes that need a pod."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K", str, tuple[float, str])


class Ordered(Generic[K]):
    """A set that is iterated in the order of its keys.

    Adding or removing a key moves all that come after it, a word of memory each: with five thousand
    of them that takes a microsecond.
    """

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: list[K] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def add(self, key: K) -> None:
        """Add a key, which must not be there."""
        insort(self._keys, key)

    def remove(self, key: K) -> None:
        """Remove a key, which must be there."""
        del self._keys[bisect_left(self._keys, key)]
