"""What a quota's status must say. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from kubeherd.cluster.api.helpers import quota, resources
from kubeherd.cluster.api.helpers.resources import ResourceList
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

RESYNC_S = 300.0
"""How often everything is counted anew, whatever has been missed."""

_COUNT = "count/"


def counted_kinds(hard: Iterable[str], kinds: Iterable[Resource]) -> list[Resource]:
    """The kinds, each in one version, whose objects a quota with these limits counts."""
    names = set(hard)
    found: dict[str, Resource] = {}
    for kind in kinds:
        key = kind.group_resource
        if key in found or key in quota.IGNORED or "list" not in kind.verbs:
            continue
        if kind.namespaced and quota.limited(key, names):
            found[key] = kind
    return list(found.values())


def unknown(hard: Iterable[str], kinds: Iterable[Resource]) -> set[str]:
    """The limits of the number of objects of kinds that are not among `kinds`."""
    known = {_COUNT + kind.group_resource for kind in kinds}
    return {name for name in hard if name.startswith(_COUNT)} - known


def with_status(
    tree: JsonObject, objects: Mapping[str, Iterable[JsonObject]], now: datetime
) -> JsonObject | None:
    """The quota with the status that follows from all objects, by kind (group resource), that it
    may count; None if it says that already."""
    spec = tree.get("spec") or {}
    used: ResourceList = {}
    for kind, trees in objects.items():
        used |= quota.counted(kind, spec, trees, now)
    hard = resources.parsed(spec.get("hard"))
    status = tree.get("status") or {}
    before = resources.parsed(status.get("used"))
    used = resources.masked({**before, **used}, hard)
    if before == used and resources.parsed(status.get("hard")) == hard and "hard" in status:
        return None
    wanted = {"hard": resources.written(hard), "used": resources.written(used)}
    return {**tree, "status": {**status, **wanted}}
