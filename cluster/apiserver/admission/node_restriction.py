"""NodeRestriction: a kubelet may write its own node, its own pods and its own lease only.

Source: Kubernetes v1.36, plugin/pkg/admission/noderestriction/admission.go. Applies to kubelets and
to fleet agents (`kubelets.acting`); all refusals are 403. Decision: it runs on the object as it
would be stored, so an invalid object is refused with 422 before. What it says of tokens is in
`own_tokens`, which their handler asks.
"""

from collections.abc import Callable

from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.access import kubelets
from kubeherd.cluster.apiserver.access.kubelets import LEASE_NAMESPACE, NODE_USER_PREFIX, Kubelet
from kubeherd.cluster.apiserver.admission import own_node, own_pods
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup

_SIGNERS = frozenset({signingrequest.KUBELET_SERVING, signingrequest.KUBELET_CLIENT})
_REPORTED = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse what a kubelet may not do; no opinion about other users."""
    kubelet = kubelets.acting(request.user)
    if kubelet is None:
        return
    if kubelet.node == "":
        raise request.forbidden(f'could not determine node from user "{request.user.name}"')
    rule = _RULES.get(request.resource.group_resource)
    if rule is not None:
        rule(request, kubelet, lookup)


def concerns(resource: Resource) -> bool:
    """Whether there are objects of a resource that some kubelets may not write."""
    return resource.group_resource in _RULES


def _check_claim(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    if request.subresource != "status":
        raise request.forbidden("may only update PVC status")
    if _but_reports(request.new or {}) != _but_reports(request.old or {}):
        raise request.forbidden(
            f"{kubelet.shown} is not allowed to update fields other than status.quantity and "
            "status.conditions"
        )


def _but_reports(claim: JsonObject) -> JsonObject:
    """A claim without what a kubelet reports about it, and without what counts for nothing."""
    meta, status = dict(claim.get("metadata") or {}), dict(claim.get("status") or {})
    for key in ("resourceVersion", "managedFields"):
        meta.pop(key, None)
    for key in _REPORTED:
        status.pop(key, None)
    meta, status = ({key: value for key, value in part.items() if value} for part in (meta, status))
    return {**claim, "metadata": meta, "status": status}


def _check_lease(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise request.forbidden(
            f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        )
    if not kubelet.owns(request.name):
        raise request.forbidden(
            "can only access node lease with the same name as the requesting node"
        )


def _check_csi_node(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    if not kubelet.owns(request.name):
        raise request.forbidden("can only access CSINode with the same name as the requesting node")


def _check_slice(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    """Updates are the authorizer's to judge: the name of the node cannot change."""
    if request.operation is Operation.UPDATE:
        return
    deleting = request.operation is Operation.DELETE
    tree = (request.old if deleting else request.new) or {}
    if not kubelet.owns((tree.get("spec") or {}).get("nodeName", "")):
        verb = "delete" if deleting else "create"
        raise request.forbidden(
            f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
        )


def _check_signing_request(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    spec = (request.new or {}).get("spec") or {}
    if request.operation is not Operation.CREATE or spec.get("signerName") not in _SIGNERS:
        return
    try:
        name = signingrequest.subject(spec.get("request", "")).common_name
    except ValueError as error:
        raise request.forbidden(f"unable to parse csr: {error}") from None
    node = name.removeprefix(NODE_USER_PREFIX)
    if node == name or not kubelet.owns(node):
        own = kubelet.node or "<a node>"
        raise request.forbidden(f"can only create a node CSR with CN={NODE_USER_PREFIX}{own}")


_RULES: dict[str, Callable[[AdmissionRequest, Kubelet, Lookup], None]] = {
    "pods": own_pods.check,
    "nodes": own_node.check,
    "persistentvolumeclaims": _check_claim,
    "leases.coordination.k8s.io": _check_lease,
    "csinodes.storage.k8s.io": _check_csi_node,
    "resourceslices.resource.k8s.io": _check_slice,
    "certificatesigningrequests.certificates.k8s.io": _check_signing_request,
}
