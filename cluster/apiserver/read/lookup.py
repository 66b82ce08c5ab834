"""Read-only access to objects for admission and authorisation, free of the store's types."""

from collections.abc import Iterable
from typing import Protocol

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource


class Lookup(Protocol):
    """The newest state, including writes that are not yet committed for single objects."""

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """A fresh tree of the object, or None."""

    def list(self, resource: Resource, namespace: str = "") -> Iterable[JsonObject]:
        """Fresh trees of all objects of the resource, in one namespace or in all."""

    def pods_on(self, node_name: str) -> Iterable[JsonObject]:
        """Fresh trees of the pods bound to a node, by index."""
