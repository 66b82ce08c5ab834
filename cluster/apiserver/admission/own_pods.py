"""NodeRestriction, pods: a kubelet creates mirror pods, and writes and deletes what it runs.

Source: Kubernetes v1.36, plugin/pkg/admission/noderestriction/admission.go. A mirror pod must refer
to no other object: what a pod of a node refers to, the node may read.
"""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.helpers import podreferences
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.kubelets import MIRROR_ANNOTATION, Kubelet
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup


def check(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    """Refuse writes to pods that are not the kubelet's own, and pods that could give it rights."""
    match request.subresource:
        case "":
            _check_pod(request, kubelet, lookup)
        case "status":
            _check_status(request, kubelet)
        case "eviction":
            _check_eviction(request, kubelet, lookup)
        case other:
            raise request.forbidden(
                f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"
            )


def _check_pod(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    if request.operation is Operation.CREATE:
        _check_mirror_pod(request, kubelet, lookup)
    elif request.operation is Operation.UPDATE:
        raise request.forbidden(
            f'unexpected operation "UPDATE", {kubelet.shown} can only create and delete mirror pods'
        )
    elif not kubelet.owns(_node_of(request.old)):
        raise _refusal(request, kubelet, "can only delete pods with spec.nodeName set to itself")


def _check_mirror_pod(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    pod = request.new or {}
    if MIRROR_ANNOTATION not in (pod["metadata"].get("annotations") or {}):
        raise request.forbidden(
            f'pod does not have "{MIRROR_ANNOTATION}" annotation, {kubelet.shown} can only create '
            "mirror pods"
        )
    if not kubelet.owns(_node_of(pod)):
        raise _refusal(request, kubelet, "can only create pods with spec.nodeName set to itself")
    _check_owner(request, kubelet, lookup)
    try:
        referred = podreferences.first(pod)
    except ValueError as error:
        raise request.forbidden(f"error checking mirror pod for API references: {error}") from None
    if referred:
        raise _refusal(request, kubelet, f"can not create pods that reference {referred}")


def _check_owner(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    """A mirror pod goes with its Node, which must be its one owner and controller."""
    pod = request.new or {}
    node = _node_of(pod)
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        raise _refusal(
            request, kubelet, "can only create pods with a single owner reference set to itself"
        )
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise _refusal(
            request, kubelet, "can only create pods with an owner reference set to itself"
        )
    if not owner.get("controller"):
        raise _refusal(
            request, kubelet, "can only create pods with a controller owner reference set to itself"
        )
    if owner.get("blockOwnerDeletion"):
        raise _refusal(request, kubelet, "must not set blockOwnerDeletion on an owner reference")
    stored = lookup.get(kinds.NODES, "", node)
    if stored is None:
        raise errors.not_found(kinds.NODES, node)
    given, own = owner.get("uid", ""), stored["metadata"]["uid"]
    if given != own:
        raise request.forbidden(f"node {node} UID mismatch: expected {given} got {own}")


def _check_status(request: AdmissionRequest, kubelet: Kubelet) -> None:
    old, new = request.old or {}, request.new or {}
    if not kubelet.owns(_node_of(old)):
        raise _refusal(
            request, kubelet, "can only update pod status for pods with spec.nodeName set to itself"
        )
    if (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
        raise _refusal(request, kubelet, "cannot update labels through pod status")
    old_status, new_status = old.get("status") or {}, new.get("status") or {}
    # What a status says of claims gives the right to read them.
    claims = "resourceClaimStatuses"
    if (claims in old_status or claims in new_status) and (
        _claims_of(old_status) != _claims_of(new_status)
    ):
        raise _refusal(request, kubelet, "cannot update resource claim statues")
    key = "extendedResourceClaimStatus"
    if (old_status.get(key) or None) != (new_status.get(key) or None):
        raise _refusal(request, kubelet, "cannot update extended resource claim status")


def _claims_of(status: JsonObject) -> list[tuple[object, object]]:
    return [
        (one.get("name"), one.get("resourceClaimName"))
        for one in status.get("resourceClaimStatuses") or ()
    ]


def _check_eviction(request: AdmissionRequest, kubelet: Kubelet, lookup: Lookup) -> None:
    pod = lookup.get(kinds.PODS, request.namespace, request.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, request.name)
    if not kubelet.owns(_node_of(pod)):
        node = kubelet.shown.replace('"', "")
        raise request.forbidden(f"{node} can only evict pods with spec.nodeName set to itself")


def _refusal(request: AdmissionRequest, kubelet: Kubelet, why: str) -> errors.Forbidden:
    return request.forbidden(f"{kubelet.shown} {why}")


def _node_of(pod: JsonObject | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName", ""))
