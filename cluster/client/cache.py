"""The local copy of a collection that a reflector keeps, with indices. Pure.

Invariant: an index always agrees with the objects, for it changes in the same call.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from typing import Generic, Protocol, TypeVar

from kubeherd.cluster.api.objects import ObjectMeta


class HasMetadata(Protocol):
    """Any struct of `cluster.api.objects` that is a whole object."""

    @property
    def metadata(self) -> ObjectMeta: ...


T = TypeVar("T")
Key = tuple[str, str]
IndexFunction = Callable[[T], str | Iterable[str]]


def key_of(obj: HasMetadata) -> Key:
    """(namespace, name)."""
    metadata = obj.metadata
    return metadata.namespace, metadata.name


class Cache(Generic[T]):
    """Objects by (namespace, name). Readers get the shared, frozen objects themselves."""

    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._functions: dict[str, IndexFunction[T]] = {}
        self._indices: dict[str, dict[str, dict[Key, T]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: Key) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def get(self, namespace: str, name: str) -> T | None:
        """The object, or None. `namespace` is empty for a cluster-scoped kind."""
        return self._objects.get((namespace, name))

    def values(self) -> ValuesView[T]:
        """All objects, a live view: copy it before awaiting."""
        return self._objects.values()

    def keys(self) -> list[Key]:
        """All (namespace, name) pairs, a copy."""
        return list(self._objects)

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        """Index by what `function` gives for an object: one value or several; "" is a value too.

        Adding the same name again replaces the index; with the same function it costs nothing.
        """
        if self._functions.get(name) is function:
            return
        self._functions[name] = function
        index: dict[str, dict[Key, T]] = {}
        self._indices[name] = index
        for key, obj in self._objects.items():
            for value in _values(function(obj)):
                index.setdefault(value, {})[key] = obj

    def by_index(self, name: str, value: str) -> list[T]:
        """The objects with this value in the index; KeyError if there is no such index."""
        found: Mapping[Key, T] = self._indices[name].get(value, {})
        return list(found.values())

    def put(self, key: Key, obj: T) -> T | None:
        """Store an object; returns the one that it replaces."""
        old = self._objects.get(key)
        self._objects[key] = obj
        for name, function in self._functions.items():
            after = _values(function(obj))
            before = () if old is None else _values(function(old))
            index = self._indices[name]
            if before != after:
                _take_out(index, before, key)
            for value in after:
                index.setdefault(value, {})[key] = obj
        return old

    def remove(self, key: Key) -> T | None:
        """Remove an object; returns it, or None if there was none."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, function in self._functions.items():
                _take_out(self._indices[name], _values(function(old)), key)
        return old


def _take_out(index: dict[str, dict[Key, T]], values: Iterable[str], key: Key) -> None:
    for value in values:
        bucket = index.get(value)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del index[value]


def _values(result: str | Iterable[str]) -> tuple[str, ...]:
    return (result,) if isinstance(result, str) else tuple(result)
