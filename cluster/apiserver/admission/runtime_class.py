"""RuntimeClass: a pod's class exists, and gives it its overhead and where it may run.

Source: Kubernetes v1.36, plugin/pkg/admission/runtimeclass/admission.go,
pkg/util/tolerations/tolerations.go.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.helpers import resources
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_CLASSES = kinds.resource("node.k8s.io", "v1", "runtimeclasses")
_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


def admit(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in overhead, node selector and tolerations of a new pod's class."""
    spec = (request.new or {}).get("spec") or {}
    found = _class(request, lookup, spec)
    overhead = _overhead(found)
    if overhead is not None:
        own = resources.parsed(spec.get("overhead"))
        if own and own != resources.parsed(overhead):
            raise request.forbidden(_MISMATCH)
        spec["overhead"] = overhead
    scheduling = found.get("scheduling") or {}
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise request.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    if scheduling.get("tolerations"):
        spec["tolerations"] = _merged([
            *(spec.get("tolerations") or ()), *scheduling["tolerations"]
        ])  # fmt: skip


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse an overhead that no class, or another one, defines."""
    spec = (request.new or {}).get("spec") or {}
    overhead = _overhead(_class(request, lookup, spec))
    if overhead is None and spec.get("overhead") is not None:
        raise request.forbidden(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        )
    if resources.parsed(overhead) != resources.parsed(spec.get("overhead")):
        raise request.forbidden(_MISMATCH)


def _class(request: AdmissionRequest, lookup: Lookup, spec: JsonObject) -> JsonObject:
    """The pod's class, an empty one if it names none."""
    name = spec.get("runtimeClassName")
    if name is None:
        return {}
    found = lookup.get(_CLASSES, "", name)
    if found is None:
        raise request.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found


def _overhead(found: JsonObject) -> JsonObject | None:
    overhead = found.get("overhead")
    return None if overhead is None else dict(overhead.get("podFixed") or {})


def _merged(tolerations: list[JsonObject]) -> list[JsonObject]:
    """Without those that another one includes."""
    kept: list[JsonObject] = []
    for at, one in enumerate(tolerations):
        later = [other for other in tolerations[at + 1 :] if other != one]
        if not any(_includes(other, one) for other in kept + later):
            kept.append(one)
    return kept


def _includes(wide: JsonObject, narrow: JsonObject) -> bool:
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    any_key = not wide.get("key") and operator == "Exists"
    if wide.get("key", "") != narrow.get("key", "") and not any_key:
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    if wide.get("effect") == "NoExecute" and (limit := wide.get("tolerationSeconds")) is not None:
        own = narrow.get("tolerationSeconds")
        if own is None or own > limit:
            return False
    if operator == "Exists":
        return True
    same_value = narrow.get("value", "") == wide.get("value", "")
    return (narrow.get("operator") or "Equal") == "Equal" and same_value
