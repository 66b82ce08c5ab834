"""What an object costs of a ResourceQuota, and which quotas it counts for (pure, on JSON trees).

The API server charges with it, and a controller counts with it anew. Source: Kubernetes v1.36,
pkg/quota/v1/evaluator/core and apiserver/pkg/quota/v1/generic. A kind is named by its group
resource, such as ``pods`` or ``deployments.apps``.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from kubeherd.cluster.api.helpers import resources
from kubeherd.cluster.api.helpers.qos import qos_class
from kubeherd.cluster.api.helpers.resources import ResourceList
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.quantity import NANO, Quantity
from kubeherd.cluster.api.timestamps import parse_time

IGNORED = frozenset({"events", "events.events.k8s.io"})
"""Kinds that no quota counts."""

_POD_NAMES = frozenset({
    "count/pods", "pods", "cpu", "memory", "ephemeral-storage",
    "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
})  # fmt: skip
_SERVICE_NAMES = frozenset({
    "count/services", "services", "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_ALIASED = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})
"""Kinds that are counted under their own name too."""
_MUST_BE_SET = frozenset({
    "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
})  # fmt: skip
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")
_DEVICE_CLASS = "requests.deviceclass.resource.kubernetes.io/"
_OF_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_DEVICE_CLAIMS = "resourceclaims.resource.k8s.io"
_OF_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"
_ALL_DEVICES = 32
"""What a claim of all devices that there are may get at most."""
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def limited(kind: str, names: Iterable[str]) -> list[str]:
    """Those of the names in a quota's `hard` that objects of this kind are charged for, sorted."""
    return sorted(name for name in set(names) if _concerns(kind, name))


def _concerns(kind: str, name: str) -> bool:
    if kind == "pods":
        return name in _POD_NAMES or name.startswith(_HUGE_PAGES) or _is_extended(name)
    if kind == "services":
        return name in _SERVICE_NAMES
    if name == f"count/{kind}" or (kind in _ALIASED and name == kind):
        return True
    if kind == "persistentvolumeclaims":
        return name in _CLAIM_NAMES or name.endswith(
            tuple(_OF_STORAGE_CLASS + one for one in _CLAIM_NAMES)
        )
    return kind == _DEVICE_CLAIMS and name.endswith(_OF_DEVICE_CLASS)


def _is_extended(name: str) -> bool:
    if not name.startswith("requests."):
        return False
    native = "/" not in name or "kubernetes.io/" in name
    return not native or name.startswith(_DEVICE_CLASS)


def selects(spec: JsonObject, kind: str, tree: JsonObject) -> bool:
    """Whether an object is in all scopes of a quota."""
    return all(_in_scope(requirement, kind, tree) for requirement in _requirements(spec))


def _requirements(spec: JsonObject) -> list[JsonObject]:
    simple = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    return simple + ((spec.get("scopeSelector") or {}).get("matchExpressions") or [])


def _in_scope(requirement: JsonObject, kind: str, tree: JsonObject) -> bool:
    name = requirement.get("scopeName", "")
    if kind == "pods":
        spec = tree.get("spec") or {}
        if name == "PriorityClass":
            return _matches(requirement, {spec.get("priorityClassName", "")})
        holds = _POD_SCOPES.get(name)
        return holds is not None and holds(tree)
    if kind == "persistentvolumeclaims" and name == "VolumeAttributesClass":
        return _matches(requirement, _attribute_classes(tree))
    return False


def _matches(requirement: JsonObject, values: set[str]) -> bool:
    """Whether one of the values (empty ones are none) fulfils a requirement of a scope selector."""
    present, wanted = values - {""}, set(requirement.get("values") or ())
    match requirement.get("operator"):
        case "Exists":
            return bool(present)
        case "DoesNotExist":
            return not present
        case "In":
            return bool(present & wanted)
        case _:
            return not present or bool(present - wanted)


def is_terminating(pod: JsonObject) -> bool:
    """Whether a pod has a deadline: the scopes Terminating and NotTerminating."""
    deadline = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def _crosses_namespaces(pod: JsonObject) -> bool:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    for key in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(key) or {}
        for term in (
            *(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
            *(
                weighted.get("podAffinityTerm") or {}
                for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            ),
        ):
            if term.get("namespaces") or term.get("namespaceSelector") is not None:
                return True
    return False


_POD_SCOPES: Mapping[str, Callable[[JsonObject], bool]] = {
    "Terminating": is_terminating,
    "NotTerminating": lambda pod: not is_terminating(pod),
    "BestEffort": lambda pod: qos_class(pod) == "BestEffort",
    "NotBestEffort": lambda pod: qos_class(pod) != "BestEffort",
    "CrossNamespacePodAffinity": _crosses_namespaces,
}


def _attribute_classes(claim: JsonObject) -> set[str]:
    status = claim.get("status") or {}
    return {
        (claim.get("spec") or {}).get("volumeAttributesClassName") or "",
        status.get("currentVolumeAttributesClassName") or "",
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName") or "",
    }


def missing(names: Iterable[str], pod: JsonObject) -> str:
    """What a pod's containers must say because a quota limits it, "" if they say it all:
    ``must specify cpu for: a,b; memory for: b``."""
    spec = pod.get("spec") or {}
    if (spec.get("resources") or {}).get("requests") or (spec.get("resources") or {}).get("limits"):
        return ""
    required = _MUST_BE_SET & set(names)
    silent: dict[str, set[str]] = {}
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            own = container.get("resources") or {}
            said = _compute(
                resources.parsed(own.get("requests")), resources.parsed(own.get("limits"))
            )
            for name in required - said.keys():
                silent.setdefault(name, set()).add(container["name"])
    told = (f"{name} for: {','.join(sorted(silent[name]))}" for name in sorted(silent))
    return f"must specify {'; '.join(told)}" if silent else ""


def usage(kind: str, tree: JsonObject, now: datetime | None = None) -> ResourceList:
    """What an object costs. `now` tells which pods are overdue: those cost their count only."""
    cost = {f"count/{kind}": _whole(1)}
    if kind in _ALIASED:
        cost[kind] = _whole(1)
    elif kind == "pods" and not _ended(tree, now):
        spec = tree.get("spec") or {}
        requests = resources.of_pod(spec, resources.REQUESTS, overhead=True)
        limits = resources.of_pod(spec, resources.LIMITS, overhead=True)
        cost |= _compute(requests, limits)
    elif kind == "services":
        cost |= _of_service(tree.get("spec") or {})
    elif kind == "persistentvolumeclaims":
        cost |= _of_claim(tree)
    elif kind == _DEVICE_CLAIMS:
        cost |= _of_devices(tree)
    return cost


def _whole(count: int) -> Quantity:
    return Quantity(count * NANO)


def _ended(pod: JsonObject, now: datetime | None) -> bool:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    meta = pod["metadata"]
    grace_s = meta.get("deletionGracePeriodSeconds")
    if now is None or grace_s is None or not meta.get("deletionTimestamp"):
        return False
    return now > parse_time(meta["deletionTimestamp"]) + timedelta(seconds=grace_s)


def _compute(requests: ResourceList, limits: ResourceList) -> ResourceList:
    cost = {"pods": _whole(1)}
    for name in _COMPUTE:
        if name in requests:
            cost[name] = cost[f"requests.{name}"] = requests[name]
        if name in limits:
            cost[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            cost[name] = cost[f"requests.{name}"] = amount
        elif _is_extended(f"requests.{name}"):
            cost[f"requests.{name}"] = amount
    return cost


def _of_service(spec: JsonObject) -> ResourceList:
    """Node ports by what is asked for: they may not be allocated yet."""
    ports, kind = spec.get("ports") or (), spec.get("type", "ClusterIP")
    node_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(1 for port in ports if port.get("nodePort"))
    return {
        "services": _whole(1),
        "services.nodeports": _whole(node_ports),
        "services.loadbalancers": _whole(int(kind == "LoadBalancer")),
    }


def _of_claim(claim: JsonObject) -> ResourceList:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    cost = {"persistentvolumeclaims": _whole(1)}
    asked = resources.parsed((spec.get("resources") or {}).get("requests")).get("storage")
    if asked is not None:
        given = resources.parsed(status.get("allocatedResources")).get("storage", asked)
        storage = max(asked, given)
        cost["requests.storage"] = Quantity(storage.value() * NANO, storage.family)
    annotations = claim["metadata"].get("annotations") or {}
    name = annotations.get(_CLASS_ANNOTATION) or spec.get("storageClassName")
    of_class = {f"{name}{_OF_STORAGE_CLASS}{key}": cost[key] for key in cost} if name else {}
    return cost | of_class


def _of_devices(claim: JsonObject) -> ResourceList:
    """Devices by class; of requests that one of several may fulfil, the most of each class."""
    total: dict[str, int] = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        exactly = request.get("exactly")
        most: dict[str, int] = {}
        for one in request.get("firstAvailable") or ([exactly] if exactly else ()):
            name = one.get("deviceClassName", "")
            most[name] = max(most.get(name, 0), _devices(one))
        for name, count in most.items():
            total[name] = total.get(name, 0) + count
    return {f"{name}{_OF_DEVICE_CLASS}": _whole(count) for name, count in total.items()}


def _devices(request: JsonObject) -> int:
    """How many devices are asked for; of modes that are not known, none."""
    match request.get("allocationMode"):
        case "ExactCount":
            return int(request.get("count") or 0)
        case "All":
            return _ALL_DEVICES
        case _:
            return 0


def counted(
    kind: str, spec: JsonObject, trees: Iterable[JsonObject], now: datetime
) -> ResourceList:
    """What all objects of a kind cost of one quota: an amount for each of its limits."""
    names = limited(kind, (spec.get("hard") or {}))
    total = {name: Quantity(0) for name in names}
    for tree in trees:
        if selects(spec, kind, tree):
            total = resources.add(total, resources.masked(usage(kind, tree, now), names))
    return total
