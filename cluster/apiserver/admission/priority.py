"""Priority: from a class name to the integer, and at most one default class.

Source: spec scheduler, section 6.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_PREEMPT = "PreemptLowerPriority"


def resolve_priority(request: AdmissionRequest, lookup: Lookup) -> None:
    """Set spec.priority, spec.preemptionPolicy (and the class of the default) of a new pod."""
    spec = (request.new or {}).get("spec") or {}
    name = spec.get("priorityClassName", "")
    value, policy = 0, _PREEMPT
    if name:
        found = lookup.get(kinds.PRIORITYCLASSES, "", name)
        if found is None:
            raise request.forbidden(f"no PriorityClass with name {name} was found")
        value, policy = int(found.get("value", 0)), found.get("preemptionPolicy") or _PREEMPT
    else:
        defaults = [
            item for item in lookup.list(kinds.PRIORITYCLASSES) if item.get("globalDefault")
        ]
        if defaults:
            lowest = min(defaults, key=lambda item: int(item.get("value", 0)))
            spec["priorityClassName"] = lowest["metadata"]["name"]
            value = int(lowest.get("value", 0))
            policy = lowest.get("preemptionPolicy") or _PREEMPT
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
