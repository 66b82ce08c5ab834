"""In which fields objects of a kind may differ and still be alike. Pure."""

from enum import Enum, auto
from typing import Final

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.kinds import Resource


class Slot(Enum):
    """What a text that differs means, which tells what makes it valid."""

    NAME = auto()
    """The object's own name."""
    LABEL = auto()
    """The same of a pod, if it is a DNS label; any other name causes a warning, which a template
    cannot give."""
    SUBDOMAIN = auto()
    """The name of a node."""
    TEXT = auto()
    """Any text that is not empty."""
    TIME = auto()
    """metav1.Time, as it is stored."""
    MICRO_TIME = auto()
    """metav1.MicroTime, as it is stored."""


class Place(msgspec.Struct, frozen=True):
    """A field whose text may differ."""

    path: tuple[str | int, ...]
    """Names of members, and indices in lists."""
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
"""By kind; objects of other kinds are never alike."""
_OF: Final = {id(resource): places for resource, places in _PLACES.items()}


def places(resource: Resource) -> tuple[Place, ...]:
    """The fields in which objects of a resource may differ and still be alike; none of a resource
    whose objects are never alike."""
    return _OF.get(id(resource), ())
