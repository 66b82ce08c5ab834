"""The strategic merge patch that turns the pod status in the API into the wanted one.

As a kubelet computes it: changed fields only, conditions and IPs merged by their keys, conditions
of others kept and ordered first (spec node-lifecycle 12 and 12.2). Pure.
"""

from kubeherd.agents.pods.conditions import OWNED
from kubeherd.cluster.api.jsontypes import JsonObject

_REMOVABLE = (
    "reason",
    "message",
    "podIP",
    "podIPs",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
)
_OPTIONAL = ("reason", "message")
"""Of a condition; written even where nothing was known of them: what `known` is made of may be out
of date, and the scheduler may have given its reason meanwhile. A kubelet, which reads the pod
before each patch, needs no such thing."""


def status_patch(known: JsonObject, wanted: JsonObject) -> JsonObject | None:
    """The value for `status` in the patch, or None if nothing differs."""
    if known == wanted:  # as after every write
        return None
    patch: JsonObject = {}
    for key, value in wanted.items():
        before = known.get(key)
        if key == "conditions":
            _conditions(patch, before or [], value)
        elif key in ("podIPs", "hostIPs"):
            if before != value:
                patch[key] = _ips(before or [], value)
        elif before != value:
            patch[key] = value
    for key in _REMOVABLE:
        if key in known and key not in wanted:
            patch[key] = None
    return patch or None


def patched(known: JsonObject, wanted: JsonObject) -> JsonObject:
    """What the API knows once `status_patch(known, wanted)` is stored."""
    kept = {k: v for k, v in known.items() if k in wanted or k not in _REMOVABLE}
    return {**kept, **wanted}


def _ips(before: list[JsonObject], after: list[JsonObject]) -> list[JsonObject]:
    kept = {entry["ip"] for entry in after}
    gone = [entry for entry in before if entry["ip"] not in kept]
    return [*after, *({"$patch": "delete", "ip": entry["ip"]} for entry in gone)]


def _conditions(patch: JsonObject, before: list[JsonObject], after: list[JsonObject]) -> None:
    known = {condition["type"]: condition for condition in before}
    changed: list[JsonObject] = []
    for condition in after:
        found = known.get(condition["type"], {})
        if found == condition:
            continue
        if not _differ(found, condition):
            continue
        lost = [key for key, value in found.items() if value is not None and key not in condition]
        lost += [key for key in _OPTIONAL if key not in condition and key not in lost]
        changed.append({**condition, **dict.fromkeys(lost)})
    if not changed:
        return
    patch["conditions"] = changed
    own = {*OWNED, *(condition["type"] for condition in after)}
    others = [type_ for type_ in known if type_ not in own]
    order = [*others, *(condition["type"] for condition in after)]
    patch["$setElementOrder/conditions"] = [{"type": type_} for type_ in order]


def _differ(before: JsonObject, after: JsonObject) -> bool:
    """Whether two conditions differ; null is nothing."""
    for key, value in after.items():
        if value is not None and before.get(key) != value:
            return True
    return any(value is not None and after.get(key) is None for key, value in before.items())
