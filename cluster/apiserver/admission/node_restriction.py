"""NodeRestriction: a kubelet may write its own node, its own pods and its own lease only.

Source: spec api-machinery, section 20. Applies to users ``system:node:<name>`` in group
``system:nodes``; all refusals are 403.
"""

from collections.abc import Callable, Iterable

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Forbidden
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

NODE_USER_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
_MIRROR = "kubernetes.io/config.mirror"
_ALLOWED_LABELS = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type",
    "kubernetes.io/os", "beta.kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/arch",
})  # fmt: skip


def node_name(user: User) -> str:
    """The node whose identity `user` is, or an empty string."""
    if "system:nodes" in user.groups and user.name.startswith(NODE_USER_PREFIX):
        return user.name.removeprefix(NODE_USER_PREFIX)
    return ""


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse what a kubelet may not do; no opinion about other users."""
    node = node_name(request.user)
    if not node:
        raise request.forbidden(f'could not determine node from user "{request.user.name}"')
    rule = _RULES.get(request.target)
    if rule is not None:
        rule(request, node, lookup)


def _refuse(request: AdmissionRequest, node: str, why: str) -> Forbidden:
    return request.forbidden(f'node "{node}" {why}')


def _check_node(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    if request.name != node:
        raise _refuse(request, node, f'is not allowed to modify node "{request.name}"')
    if request.new is None:
        return
    new_labels = request.new["metadata"].get("labels") or {}
    if request.old is None:
        forbidden = _forbidden_labels(new_labels)
        if forbidden:
            raise _refuse(
                request,
                node,
                f"is not allowed to set the following labels: {', '.join(forbidden)}",
            )
        return
    old_spec, new_spec = request.old.get("spec") or {}, request.new.get("spec") or {}
    if (old_spec.get("taints") or []) != (new_spec.get("taints") or []):
        raise _refuse(request, node, "is not allowed to modify taints")
    if (request.old["metadata"].get("ownerReferences") or []) != (
        request.new["metadata"].get("ownerReferences") or []
    ):
        raise _refuse(request, node, "is not allowed to modify ownerReferences")
    old_labels = request.old["metadata"].get("labels") or {}
    changed = [
        key
        for key in {**old_labels, **new_labels}
        if old_labels.get(key) != new_labels.get(key) or (key in old_labels) != (key in new_labels)
    ]
    forbidden = _forbidden_labels(changed)
    if forbidden:
        raise _refuse(request, node, f"is not allowed to modify labels: {', '.join(forbidden)}")


def _forbidden_labels(keys: Iterable[str]) -> list[str]:
    return sorted(key for key in keys if not _label_allowed(key))


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


def _check_pod(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    if request.operation is Operation.CREATE:
        _check_mirror_pod(request, node, lookup)
    elif request.operation is Operation.DELETE:
        if _node_of(request.old) != node:
            raise _refuse(request, node, "can only delete pods with spec.nodeName set to itself")
    else:
        raise _refuse(request, node, "is not allowed to update pods")


def _check_mirror_pod(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    pod = request.new or {}
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if _MIRROR not in (meta.get("annotations") or {}):
        raise _refuse(request, node, "can only create mirror pods")
    if spec.get("nodeName") != node:
        raise _refuse(request, node, "can only create pods with spec.nodeName set to itself")
    owners = meta.get("ownerReferences") or []
    if len(owners) > 1:
        raise _refuse(request, node, "can only create pods with a single owner reference")
    if owners:
        owner = owners[0]
        if owner.get("apiVersion") != "v1" or owner.get("kind") != "Node":
            raise _refuse(
                request, node, "can only create pods with an owner reference set to itself"
            )
        if owner.get("name") != node or not owner.get("controller"):
            raise _refuse(
                request,
                node,
                "can only create pods with a controller owner reference set to itself",
            )
        if owner.get("blockOwnerDeletion"):
            raise _refuse(request, node, "must not set blockOwnerDeletion on an owner reference")
        stored = lookup.get(kinds.NODES, "", node)
        if stored is None or stored["metadata"].get("uid") != owner.get("uid"):
            raise _refuse(request, node, "UID mismatch in the owner reference")
    if spec.get("serviceAccountName"):
        raise _refuse(request, node, "can not create pods that reference a service account")
    for volume in spec.get("volumes") or ():
        for kind in ("secret", "configMap", "persistentVolumeClaim", "projected"):
            if kind in volume:
                raise _refuse(request, node, f"can not create pods that reference {kind.lower()}s")


def _check_pod_status(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    if _node_of(request.old) != node:
        raise _refuse(
            request, node, "can only update pod status for pods with spec.nodeName set to itself"
        )
    old_labels = (request.old or {})["metadata"].get("labels") or {}
    new_labels = (request.new or {})["metadata"].get("labels") or {}
    if old_labels != new_labels:
        raise _refuse(request, node, "cannot update labels through pod status")


def _check_eviction(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    pod = lookup.get(kinds.PODS, request.namespace, request.name)
    if pod is not None and _node_of(pod) != node:
        raise _refuse(request, node, "can only evict pods with spec.nodeName set to itself")


def _check_lease(request: AdmissionRequest, node: str, lookup: Lookup) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise request.forbidden(
            f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        )
    if request.name != node:
        raise request.forbidden(
            "can only access node lease with the same name as the requesting node"
        )


def _node_of(pod: JsonObject | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName", ""))


_RULES: dict[str, Callable[[AdmissionRequest, str, Lookup], None]] = {
    "nodes": _check_node,
    "nodes/status": _check_node,
    "pods": _check_pod,
    "pods/status": _check_pod_status,
    "pods/eviction": _check_eviction,
    "leases.coordination.k8s.io": _check_lease,
}
