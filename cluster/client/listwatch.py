"""What a reflector lists and watches, and how often it asks."""

from typing import Generic, TypeVar

import msgspec

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.client import selectors

T = TypeVar("T", bound=HasMetadata)

FULL_POLL_EVENTS = 500
"""An answer with so many may have left out others."""


class ListWatch(msgspec.Struct, Generic[T], frozen=True):
    """What to list and watch: a collection, or the part of it that the selectors choose."""

    resource: Resource
    into: type[T]
    """The type as which objects are decoded."""
    namespace: str = ""
    field_selector: str = ""
    label_selector: str = ""
    nodes: frozenset[str] = frozenset()
    """Only the Nodes of these names, or the pods bound to them; empty: all. A kubeherd server sends
    no others."""

    @property
    def path(self) -> str:
        """The collection's URL path."""
        return self.resource.path(self.namespace)

    def selectors(self) -> dict[str, str]:
        """The query parameters of the selectors."""
        return selectors(self.label_selector, self.field_selector)

    def wants(self, obj: T) -> bool:
        """Whether an object is of the nodes that were asked for."""
        if not self.nodes:
            return True
        name = obj.spec.node_name if isinstance(obj, Pod) else obj.metadata.name
        return name in self.nodes


class PollPause(msgspec.Struct, frozen=True):
    """A pause between two polls, in which changes gather: together they cost a part of what each
    would cost alone. There is none while the reflector is behind, or is waited for (`seen`)."""

    for_s: float
    """Nominal seconds."""
    from_events: int = 1
    """The pause is made after an answer with at least so many events: then there will be more."""


NO_PAUSE = PollPause(0.0, FULL_POLL_EVENTS)
"""For those that are to see each change as soon as possible."""
