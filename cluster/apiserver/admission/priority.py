"""Priority: from a class name to the integer, and at most one default class.

Source: spec scheduler, section 6.
"""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_PREEMPT = "PreemptLowerPriority"


class _Class(msgspec.Struct, frozen=True):
    """What a pod gets of a PriorityClass, or without one."""

    name: str = ""
    value: int = 0
    policy: str = _PREEMPT


def resolve_priority(request: AdmissionRequest, lookup: Lookup) -> None:
    """Set spec.priority, spec.preemptionPolicy (and the class of the default) of a new pod."""
    spec = (request.new or {}).get("spec") or {}
    name = spec.get("priorityClassName", "")
    if name:
        found = lookup.fact(kinds.PRIORITYCLASSES, "", name, _class)
        if found is None:
            raise request.forbidden(f"no PriorityClass with name {name} was found")
    else:
        found = lookup.fact_of_all(kinds.PRIORITYCLASSES, _default)
        if found.name:
            spec["priorityClassName"] = found.name
    value, policy = found.value, found.policy
    given = spec.get("priority")
    if given is not None and given != value:
        raise request.forbidden(
            f"the integer value of priority ({given}) must not be provided in pod spec; priority "
            f"admission controller computed {value} from the given PriorityClass name"
        )
    spec["priority"] = value
    given_policy = spec.get("preemptionPolicy")
    if given_policy is not None and given_policy != policy:
        raise request.forbidden(
            f"the string value of PreemptionPolicy ({given_policy}) must not be provided in pod "
            f"spec; priority admission controller computed {policy} from the given PriorityClass "
            "name"
        )
    spec["preemptionPolicy"] = policy


def _class(tree: JsonObject) -> _Class:
    policy = tree.get("preemptionPolicy") or _PREEMPT
    return _Class(tree["metadata"]["name"], int(tree.get("value", 0)), policy)


def _default(classes: Iterable[JsonObject]) -> _Class:
    """The default of a pod that names none: of several the lowest."""
    marked = (_class(tree) for tree in classes if tree.get("globalDefault"))
    return min(marked, key=lambda one: one.value, default=_Class())


def keep_priority(request: AdmissionRequest, lookup: Lookup) -> None:
    """An update that leaves out what admission computed keeps it."""
    spec, before = (((tree or {}).get("spec") or {}) for tree in (request.new, request.old))
    for name in ("priority", "preemptionPolicy"):
        if spec.get(name) is None and before.get(name) is not None:
            spec[name] = before[name]


def check_single_default(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse a second PriorityClass with globalDefault."""
    if not (request.new or {}).get("globalDefault"):
        return
    for item in lookup.list(kinds.PRIORITYCLASSES):
        other = item["metadata"]["name"]
        if item.get("globalDefault") and other != request.name:
            raise request.forbidden(
                f"PriorityClass {other} is already marked as default. Only one default can exist"
            )
