"""Read-only access to objects for admission and authorisation, free of the store's types."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

_T = TypeVar("_T")


class Lookup(Protocol):
    """The newest state, including writes that are not yet committed for single objects."""

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """A fresh tree of the object, or None."""

    def json(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        """The object as it is stored, or None: for who seldom needs more than a look."""

    def list(self, resource: Resource, namespace: str = "") -> Iterable[JsonObject]:
        """Fresh trees of all objects of the resource, in one namespace or in all."""

    def stored(self, resource: Resource) -> Iterable[bytes]:
        """All committed objects of the resource, in whatever namespace, as JSON."""

    def newest(
        self, resource: Resource, where: Callable[[Mapping[str, str]], bool]
    ) -> Iterable[JsonObject]:
        """Fresh trees of all objects, uncommitted writes included, whose selectable fields satisfy
        `where`."""

    def pods_on(self, node_name: str) -> Iterable[JsonObject]:
        """Fresh trees of the pods bound to a node, by index."""

    def fact(
        self, resource: Resource, namespace: str, name: str, of: Callable[[JsonObject], _T]
    ) -> _T | None:
        """What `of`, a function of a module, makes of the object: worked out once per version of
        it, so it must be small and nobody may change it. None if there is no such object."""

    def fact_of_all(self, resource: Resource, of: Callable[[Iterable[JsonObject]], _T]) -> _T:
        """The same for all committed objects of a resource, in whatever namespace."""
