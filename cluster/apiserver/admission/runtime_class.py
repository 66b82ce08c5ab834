"""RuntimeClass: what a pod's class costs and where it may run, as the class says.

Source: plugin/pkg/admission/runtimeclass, v1.36.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

RUNTIMECLASSES = kinds.resource("node.k8s.io", "v1", "runtimeclasses")


def apply_class(request: AdmissionRequest, lookup: Lookup) -> None:
    """Set overhead, node selector and tolerations of a new pod from its RuntimeClass."""
    spec = (request.new or {}).get("spec") or {}
    found = _class_of(request, spec, lookup)
    if found is None:
        return
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead is not None:
        if spec.get("overhead") and spec["overhead"] != overhead:
            raise _mismatch(request)
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = _merged(request, spec, scheduling["nodeSelector"])
    added = [item for item in scheduling.get("tolerations") or () if item not in _tolerations(spec)]
    if added:
        spec["tolerations"] = [*_tolerations(spec), *added]


def check_overhead(request: AdmissionRequest, lookup: Lookup) -> None:
    """Only a RuntimeClass gives a pod overhead."""
    spec = (request.new or {}).get("spec") or {}
    found = _class_of(request, spec, lookup) or {}
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead is None and spec.get("overhead") is not None:
        raise request.forbidden(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        )
    if overhead is not None and spec.get("overhead") != overhead:
        raise _mismatch(request)


def _class_of(request: AdmissionRequest, spec: JsonObject, lookup: Lookup) -> JsonObject | None:
    name = spec.get("runtimeClassName")
    if name is None:
        return None
    found = lookup.get(RUNTIMECLASSES, "", name)
    if found is None:
        raise request.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found


def _mismatch(request: AdmissionRequest) -> Exception:
    return request.forbidden(
        "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
    )


def _merged(request: AdmissionRequest, spec: JsonObject, wanted: JsonObject) -> JsonObject:
    own = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if own.get(key, value) != value:
            raise request.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
    return {**own, **wanted}


def _tolerations(spec: JsonObject) -> list[JsonObject]:
    return spec.get("tolerations") or []
