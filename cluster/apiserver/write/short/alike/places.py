"""Where objects of a kind may differ and still be alike, and by which rules. Pure."""

from enum import Enum, auto
from typing import Final

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.kinds import Resource


class Slot(Enum):
    """What a string is that differs, and so which rules it has to follow."""

    NAME = auto()
    """The object's own name."""
    LABEL = auto()
    """The same of a pod, if it is a DNS label: of others there is a warning."""
    SUBDOMAIN = auto()
    """The name of a node."""
    TEXT = auto()
    """Anything but nothing."""
    TIME = auto()
    """metav1.Time, as it is stored."""
    MICRO_TIME = auto()
    """metav1.MicroTime, as it is stored."""


class Place(msgspec.Struct, frozen=True):
    """Where a string stands in an object: the names of members, and numbers in lists."""

    path: tuple[str | int, ...]
    slot: Slot


def _event(regarding: str, note: str, *times: tuple[str, Slot]) -> tuple[Place, ...]:
    return (
        Place(("metadata", "name"), Slot.NAME),
        Place((note,), Slot.TEXT),
        *(Place((regarding, name), Slot.TEXT) for name in ("name", "uid", "resourceVersion")),
        *(Place((name,), slot) for name, slot in times),
    )


_NODE = (
    "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms", 0, "matchFields", 0, "values", 0,
)  # fmt: skip
_CONFIGMAPS: Final = kinds.resource("", "v1", "configmaps")
_PLACES: Final = {
    kinds.PODS: (Place(("metadata", "name"), Slot.LABEL), Place(_NODE, Slot.SUBDOMAIN)),
    kinds.EVENTS: _event(
        "involvedObject", "message", ("firstTimestamp", Slot.TIME), ("lastTimestamp", Slot.TIME)
    ),
    kinds.EVENTS_V1: _event("regarding", "note", ("eventTime", Slot.MICRO_TIME)),
    _CONFIGMAPS: (Place(("metadata", "name"), Slot.NAME),),
}
"""Of each kind that is looked at, where its objects differ."""
_OF: Final = {id(resource): places for resource, places in _PLACES.items()}


def places(resource: Resource) -> tuple[Place, ...]:
    """Where objects of a resource may differ and still be alike; empty: nobody looks."""
    return _OF.get(id(resource), ())
