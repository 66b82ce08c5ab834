"""What pods ask for, by resource, as exact quantities (pure, on JSON trees).

Source: Kubernetes v1.36, component-helpers/resource/helpers.go and apiserver/pkg/quota/v1/
resources.go.
"""

from collections.abc import Iterable
from typing import TypeAlias

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.quantity import Quantity

ResourceList: TypeAlias = dict[str, Quantity]
"""Amounts by the name of the resource."""

REQUESTS, LIMITS = "requests", "limits"
_HUGE_PAGES = "hugepages-"


def parsed(amounts: JsonObject | None) -> ResourceList:
    """The amounts of a resource list of the API."""
    return {name: quantity.parse(amount) for name, amount in (amounts or {}).items()}


def written(amounts: ResourceList) -> JsonObject:
    """A resource list of the API, sorted by name as the API server writes maps."""
    return {name: amounts[name].canonical() for name in sorted(amounts)}


def add(one: ResourceList, other: ResourceList) -> ResourceList:
    """The sum, with all names of both."""
    return one | {name: one[name] + amount if name in one else amount
                  for name, amount in other.items()}  # fmt: skip


def maximum(one: ResourceList, other: ResourceList) -> ResourceList:
    """The larger of each, with all names of both."""
    return one | {
        name: amount for name, amount in other.items() if name not in one or amount > one[name]
    }


def masked(amounts: ResourceList, names: Iterable[str]) -> ResourceList:
    """The amounts that have one of the names."""
    return {name: amounts[name] for name in names if name in amounts}


def of_pod(spec: JsonObject, key: str, *, overhead: bool = False) -> ResourceList:
    """The pod's `REQUESTS` or `LIMITS`: those of its containers and sidecars together, or of the
    init container that wants more; what is said for the whole pod stands before that."""
    total: ResourceList = {}
    for container in spec.get("containers") or ():
        total = add(total, _of(container, key))
    sidecars: ResourceList = {}
    starting: ResourceList = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, key)
        if container.get("restartPolicy") == "Always":
            total, sidecars = add(total, own), add(sidecars, own)
            starting = maximum(starting, sidecars)
        else:
            starting = maximum(starting, add(own, sidecars))
    total = maximum(total, starting)
    for name, amount in _of(spec, key).items():
        if name in ("cpu", "memory") or name.startswith(_HUGE_PAGES):
            total[name] = amount
    extra = parsed(spec.get("overhead")) if overhead else {}
    if key == LIMITS:  # overhead raises a limit, but makes none
        extra = {name: amount for name, amount in extra.items() if name in total}
    return add(total, extra)


def _of(holder: JsonObject, key: str) -> ResourceList:
    return parsed((holder.get("resources") or {}).get(key))
