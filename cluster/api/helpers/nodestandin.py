"""A fake node that stands in for one of another cluster: it shows what that one had.

An annotation on the Node says what: capacity, allocatable and nodeInfo, as JSON. Written when a
cluster is restored, read by the node's agent. Pure.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from kubeherd.cluster.api.helpers.scripts import PREFIX
from kubeherd.cluster.api.jsontypes import JsonObject

ANNOTATION: Final = PREFIX + "stands-in-for"
_RESOURCES: Final = ("capacity", "allocatable")
_OF_THIS_LIFE: Final = frozenset({"bootID"})


class _StandIn(msgspec.Struct, frozen=True, omit_defaults=True):
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}
    nodeInfo: dict[str, str] = {}  # noqa: N815 - as in the API


def stand_in(status: JsonObject) -> str:
    """The annotation's value for a node that had this status."""
    info = {
        key: value
        for key, value in (status.get("nodeInfo") or {}).items()
        if key not in _OF_THIS_LIFE and value and isinstance(value, str)
    }
    found = {key: status.get(key) or {} for key in _RESOURCES} | {"nodeInfo": info}
    return msgspec.json.encode({key: value for key, value in found.items() if value}).decode()


def shown(content: JsonObject, annotations: Mapping[str, str]) -> JsonObject:
    """The status that a node with these annotations shows in place of its own. A value that cannot
    be read counts as absent."""
    text = annotations.get(ANNOTATION)
    if text is None:
        return content
    try:
        found = msgspec.json.decode(text, type=_StandIn)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return content
    return {
        **content,
        "capacity": found.capacity or content["capacity"],
        "allocatable": found.allocatable or found.capacity or content["allocatable"],
        "nodeInfo": {**content["nodeInfo"], **found.nodeInfo},
    }
