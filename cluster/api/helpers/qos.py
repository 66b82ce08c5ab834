"""The quality of service class of a pod (spec api-machinery, section 17)."""

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject

_COMPUTE = ("cpu", "memory")


def qos_class(pod: JsonObject) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort`` of a defaulted pod tree."""
    spec = pod.get("spec") or {}
    pod_level = spec.get("resources") or {}
    holders = [pod_level] if pod_level.get("requests") or pod_level.get("limits") else [
        container.get("resources") or {}
        for key in ("initContainers", "containers")
        for container in spec.get(key) or ()
    ]  # fmt: skip
    any_set = False
    guaranteed = bool(holders)
    for resources in holders:
        requests = _positive(resources.get("requests"))
        limits = _positive(resources.get("limits"))
        any_set = any_set or bool(requests or limits)
        if len(limits) < len(_COMPUTE) or any(
            requests.get(name, amount) != amount for name, amount in limits.items()
        ):
            guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: JsonObject | None) -> dict[str, quantity.Quantity]:
    if not amounts:
        return {}
    parsed = {name: quantity.parse(amounts[name]) for name in _COMPUTE if name in amounts}
    return {name: amount for name, amount in parsed.items() if amount.nanos > 0}
