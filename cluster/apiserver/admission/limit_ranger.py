"""LimitRanger: requests and limits of a namespace's containers, pods and claims.

Source: Kubernetes v1.36, plugin/pkg/admission/limitranger/admission.go. Where Kubernetes tells
several breaches in the random order of its maps, they are sorted here by resource.
"""

from collections.abc import Iterator

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.helpers import resources
from kubeherd.cluster.api.helpers.resources import ResourceList
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.quantity import Quantity
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_LIMITRANGES = kinds.resource("", "v1", "limitranges")
_ANNOTATION = "kubernetes.io/limit-ranger"
_CONTAINERS = {"containers": "container", "initContainers": "init container"}
_MAX_MILLI_VALUE = ((1 << 63) - 1) // 1000
"""Up to here amounts are compared in thousandths, above in whole units."""


def set_container_defaults(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in missing requests and limits of a pod's containers, and say so in an annotation."""
    pod = request.new or {}
    for limit_range in lookup.list(_LIMITRANGES, request.namespace):
        defaults: dict[str, JsonObject] = {"requests": {}, "limits": {}}
        for item in _items(limit_range, "Container"):
            defaults["requests"].update(item.get("defaultRequest") or {})
            defaults["limits"].update(item.get("default") or {})
        said = list(_filled_in(pod, defaults))
        if said:
            annotations = pod["metadata"].get("annotations") or {}
            text = "LimitRanger plugin set: " + "; ".join(said)
            pod["metadata"]["annotations"] = {**annotations, _ANNOTATION: text}


def _filled_in(pod: JsonObject, defaults: dict[str, JsonObject]) -> Iterator[str]:
    for group, shown in _CONTAINERS.items():
        for container in (pod.get("spec") or {}).get(group) or ():
            own = dict(container.get("resources") or {})
            for key in ("requests", "limits"):
                given = own.get(key) or {}
                missing = sorted(defaults[key].keys() - given.keys())
                if missing:
                    own[key] = {**given, **{name: defaults[key][name] for name in missing}}
                    yield f"{', '.join(missing)} {key[:-1]} for {shown} {container['name']}"
            container["resources"] = own


def check_pod(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse a pod outside the bounds for its containers or for itself."""
    if request.old is not None and request.old["metadata"].get("deletionTimestamp"):
        return
    spec = (request.new or {}).get("spec") or {}
    for limit_range in lookup.list(_LIMITRANGES, request.namespace):
        _refuse(request, _pod_breaches(limit_range, spec))


def _pod_breaches(limit_range: JsonObject, spec: JsonObject) -> Iterator[str]:
    for item in _items(limit_range, "Container", "Pod"):
        if item["type"] == "Pod":
            requests = resources.of_pod(spec, resources.REQUESTS)
            yield from _breaches(item, requests, resources.of_pod(spec, resources.LIMITS))
            continue
        for group in _CONTAINERS:
            for container in spec.get(group) or ():
                own = container.get("resources") or {}
                requests = resources.parsed(own.get("requests"))
                yield from _breaches(item, requests, resources.parsed(own.get("limits")))


def check_claim(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse a claim of less or more storage than allowed."""
    if request.old is not None and request.old["metadata"].get("deletionTimestamp"):
        return
    own = ((request.new or {}).get("spec") or {}).get("resources") or {}
    requests = resources.parsed(own.get("requests"))
    for limit_range in lookup.list(_LIMITRANGES, request.namespace):
        _refuse(request, [
            breach
            for item in _items(limit_range, "PersistentVolumeClaim")
            for breach in _claim_breaches(item, requests)
        ])  # fmt: skip


def _claim_breaches(item: JsonObject, requests: ResourceList) -> Iterator[str]:
    for name, bound in sorted(resources.parsed(item.get("min")).items()):
        yield from _below(name, item["type"], bound, requests, {})
    for name, bound in sorted(resources.parsed(item.get("max")).items()):
        said = f"maximum {name} usage per {item['type']} is {bound}"
        if name not in requests:
            yield f"{said}.  No request is specified"
        elif _exceeds(requests[name], bound):
            yield f"{said}, but request is {requests[name]}"


def _breaches(item: JsonObject, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    kind = item["type"]
    for name, bound in sorted(resources.parsed(item.get("min")).items()):
        yield from _below(name, kind, bound, requests, limits)
    for name, bound in sorted(resources.parsed(item.get("max")).items()):
        said = f"maximum {name} usage per {kind} is {bound}"
        if name not in limits:
            yield f"{said}.  No limit is specified"
        elif _exceeds(limits[name], bound):
            yield f"{said}, but limit is {limits[name]}"
        elif name in requests and _exceeds(requests[name], bound):
            yield f"{said}, but request is {requests[name]}"
    for name, bound in sorted(resources.parsed(item.get("maxLimitRequestRatio")).items()):
        said = f"{name} max limit to request ratio per {kind} is {bound}"
        request, limit = requests.get(name), limits.get(name)
        if request is None or not request.nanos:
            yield f"{said}, but no request is specified or request is 0"
        elif limit is None or not limit.nanos:
            yield f"{said}, but no limit is specified or limit is 0"
        elif limit.nanos > bound.fraction() * request.nanos:
            yield f"{said}, but provided ratio is {limit.nanos / request.nanos:f}"


def _below(
    name: str, kind: str, bound: Quantity, requests: ResourceList, limits: ResourceList
) -> Iterator[str]:
    said = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        yield f"{said}.  No request is specified"
    elif _exceeds(bound, requests[name]):
        yield f"{said}, but request is {requests[name]}"
    elif name in limits and _exceeds(bound, limits[name]):
        yield f"{said}, but limit is {limits[name]}"


def _exceeds(one: Quantity, other: Quantity) -> bool:
    if max(one.value(), other.value()) <= _MAX_MILLI_VALUE:
        return one.milli_value() > other.milli_value()
    return one.value() > other.value()


def _refuse(request: AdmissionRequest, breaches: Iterator[str] | list[str]) -> None:
    """One breach is told as it is, several as a list, none twice."""
    told = list(dict.fromkeys(breaches))
    if told:
        raise request.forbidden(told[0] if len(told) == 1 else f"[{', '.join(told)}]")


def _items(limit_range: JsonObject, *types: str) -> list[JsonObject]:
    limits = (limit_range.get("spec") or {}).get("limits") or ()
    return [item for item in limits if item.get("type") in types]
