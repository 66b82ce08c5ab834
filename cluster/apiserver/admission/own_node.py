"""NodeRestriction, nodes: a kubelet writes its own Node, but not what steers pods to it.

Source: Kubernetes v1.36, plugin/pkg/admission/noderestriction/admission.go (without what OpenShift
adds), kubelet/pkg/apis/well_known_labels.go.
"""

from collections.abc import Iterable

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.kubelets import Kubelet
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup

_ALLOWED_LABELS = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type",
    "kubernetes.io/os", "beta.kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/arch",
})  # fmt: skip


def check(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    """Refuse another's node, and forbidden parts of the own one."""
    if not kubelet.owns(request.name):
        raise request.forbidden(f'{kubelet.shown} is not allowed to modify node "{request.name}"')
    if request.operation is Operation.CREATE:
        _check_create(request, kubelet, request.new or {})
    elif request.operation is Operation.UPDATE:
        _check_update(request, kubelet, request.new or {}, request.old or {})


def _check_create(request: AdmissionRequest, kubelet: Kubelet, new: JsonObject) -> None:
    if forbidden := _forbidden(new["metadata"].get("labels") or {}):
        raise request.forbidden(
            f"{kubelet.shown} is not allowed to set the following labels: {forbidden}"
        )


def _check_update(
    request: AdmissionRequest, kubelet: Kubelet, new: JsonObject, old: JsonObject
) -> None:
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    source = new_spec.get("configSource")
    if source is not None and source != old_spec.get("configSource"):
        raise request.forbidden(
            f"{kubelet.shown} is not allowed to update configSource to a new non-nil configSource"
        )
    if (new_spec.get("taints") or []) != (old_spec.get("taints") or []):
        raise request.forbidden(f"{kubelet.shown} is not allowed to modify taints")
    new_meta, old_meta = new["metadata"], old["metadata"]
    if (new_meta.get("ownerReferences") or []) != (old_meta.get("ownerReferences") or []):
        raise request.forbidden(f"{kubelet.shown} is not allowed to modify ownerReferences")
    # The items that differ: keys that were added, removed or given another value.
    changed = (new_meta.get("labels") or {}).items() ^ (old_meta.get("labels") or {}).items()
    if forbidden := _forbidden({key for key, _ in changed}):
        raise request.forbidden(f"is not allowed to modify labels: {forbidden}")


def _forbidden(keys: Iterable[str]) -> str:
    return ", ".join(sorted(key for key in keys if not _label_allowed(key)))


def _label_allowed(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if _within(domain, "node-restriction.kubernetes.io"):
        return False
    if not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io")):
        return True
    return (
        key in _ALLOWED_LABELS
        or _within(domain, "kubelet.kubernetes.io")
        or _within(domain, "node.kubernetes.io")
    )


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)
