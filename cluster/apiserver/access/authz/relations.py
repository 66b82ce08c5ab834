"""Which objects belong to a node: those that the pods bound to it refer to.

Source: Kubernetes v1.36, plugin/pkg/auth/authorizer/node/graph.go. Kubernetes keeps a graph;
here the few pods of the node are looked at each time, by index. Invariant: a mirror pod gives a
node nothing but itself, because the node writes it.
"""

from collections.abc import Callable, Iterable, Iterator

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.helpers import podreferences
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.kubelets import MIRROR_ANNOTATION
from kubeherd.cluster.apiserver.read.lookup import Lookup

_VOLUMES = kinds.resource("", "v1", "persistentvolumes")
_ATTACHMENTS = kinds.resource("storage.k8s.io", "v1", "volumeattachments")
_SLICES = kinds.resource("resource.k8s.io", "v1", "resourceslices")
_CLAIM_NAMESPACE_DEFAULT = ("azureFile", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO")
_VOLUME_SECRETS = {
    **dict.fromkeys(("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"),
                    ("secretRef",)),
    "csi": ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"),
}  # fmt: skip

Related = Callable[[Lookup, str, str, str], bool]
"""``related(lookup, node, namespace, name)``: whether the object belongs to the node."""


def pod(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A pod bound to the node."""
    found = lookup.get(kinds.PODS, namespace, name)
    return found is not None and (found.get("spec") or {}).get("nodeName") == node


def secret(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A secret that one of its pods needs, or a volume claimed by one."""
    if _referred(lookup, node, namespace, name, podreferences.secrets):
        return True
    claimed = _claimed(lookup, node)
    return bool(claimed) and any(
        (namespace, name) in _secrets_of(found)
        for found in lookup.list(_VOLUMES)
        if _claim_of(found) in claimed
    )


def config_map(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A config map that one of its pods needs."""
    return _referred(lookup, node, namespace, name, podreferences.config_maps)


def claim(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A volume claim of one of its pods."""
    return _referred(lookup, node, namespace, name, podreferences.claims)


def resource_claim(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A resource claim of one of its pods."""
    return _referred(lookup, node, namespace, name, podreferences.resource_claims)


def service_account(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """The account of one of its pods."""
    return _referred(lookup, node, namespace, name, _account)


def volume(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A volume that is bound to a claim of one of its pods."""
    found = lookup.get(_VOLUMES, "", name)
    return found is not None and _claim_of(found) in _claimed(lookup, node)


def attachment(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """The attachment of a volume to the node."""
    return _names_node(lookup.get(_ATTACHMENTS, "", name), node)


def resource_slice(lookup: Lookup, node: str, namespace: str, name: str) -> bool:
    """A slice of devices of the node."""
    return _names_node(lookup.get(_SLICES, "", name), node)


def _names_node(tree: JsonObject | None, node: str) -> bool:
    return tree is not None and (tree.get("spec") or {}).get("nodeName") == node


def _pods(lookup: Lookup, node: str) -> Iterator[JsonObject]:
    """The node's pods, but for mirror pods."""
    for found in lookup.pods_on(node):
        if MIRROR_ANNOTATION not in (found["metadata"].get("annotations") or {}):
            yield found


def _referred(
    lookup: Lookup,
    node: str,
    namespace: str,
    name: str,
    names: Callable[[JsonObject], Iterable[str]],
) -> bool:
    return any(
        found["metadata"]["namespace"] == namespace and name in names(found)
        for found in _pods(lookup, node)
    )


def _account(found: JsonObject) -> tuple[str]:
    return ((found.get("spec") or {}).get("serviceAccountName", ""),)


def _claimed(lookup: Lookup, node: str) -> set[tuple[str, str]]:
    """Namespace and name of the claims of the node's pods."""
    return {
        (found["metadata"]["namespace"], name)
        for found in _pods(lookup, node)
        for name in podreferences.claims(found)
    }


def _claim_of(found: JsonObject) -> tuple[str, str]:
    """The claim to which a volume is bound; ("", "") for a free one, which no pod has."""
    reference = (found.get("spec") or {}).get("claimRef") or {}
    return reference.get("namespace", ""), reference.get("name", "")


def _secrets_of(found: JsonObject) -> set[tuple[str, str]]:
    """Namespace and name of the secrets that a kubelet needs to mount a volume."""
    spec = found.get("spec") or {}
    home = (spec.get("claimRef") or {}).get("namespace", "")
    secrets = set()
    for source, keys in _VOLUME_SECRETS.items():
        default = home if source in _CLAIM_NAMESPACE_DEFAULT else ""
        for key in keys:
            reference = (spec.get(source) or {}).get(key) or {}
            secrets.add((reference.get("namespace") or default, reference.get("name", "")))
    file = spec.get("azureFile") or {}
    secrets.add((file.get("secretNamespace") or home, file.get("secretName", "")))
    return secrets
