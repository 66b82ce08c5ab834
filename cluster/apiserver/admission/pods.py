"""Small mutating plugins: DefaultTolerationSeconds, TaintNodesByCondition.

Source: spec api-machinery, sections 17 and 20; node-lifecycle, section 4.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_TOLERATION_S = 300
_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"


def _spec(request: AdmissionRequest) -> JsonObject:
    return (request.new or {}).get("spec") or {}


def add_default_tolerations(request: AdmissionRequest, lookup: Lookup) -> None:
    """Tolerate not-ready and unreachable for 300 s where the pod says nothing about them."""
    if request.old is not None and request.old["metadata"].get("deletionTimestamp"):
        return
    spec = _spec(request)
    tolerations = spec.get("tolerations") or []
    missing = [key for key in (_NOT_READY, _UNREACHABLE) if not _speaks_of(tolerations, key)]
    if missing:
        spec["tolerations"] = [
            *tolerations,
            *(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _TOLERATION_S,
                }
                for key in missing
            ),
        ]


def _speaks_of(tolerations: list[JsonObject], key: str) -> bool:
    return any(
        toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
        for toleration in tolerations
    )


def taint_new_node(request: AdmissionRequest, lookup: Lookup) -> None:
    """A new node is not ready until the node lifecycle controller says otherwise."""
    node = request.new or {}
    spec = node.setdefault("spec", {})
    taints = list(spec.get("taints") or ())
    if not any(t.get("key") == _NOT_READY and t.get("effect") == "NoSchedule" for t in taints):
        taints.append({"key": _NOT_READY, "effect": "NoSchedule"})
        spec["taints"] = taints
