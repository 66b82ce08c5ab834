"""The Node authorizer: what the identity of a kubelet may read and write.

Source: spec api-machinery, section 20, "Node identity". Which secret, config map or claim belongs
to a node follows from the pods bound to it, so those answers are computed from pods each time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.admission.node_restriction import LEASE_NAMESPACE, node_name
from kubeherd.cluster.apiserver.read.lookup import Lookup

_READ = frozenset({"get", "list", "watch"})
_STATIC: dict[tuple[str, str], frozenset[str]] = {
    ("", "events"): frozenset({"create", "update", "patch"}),
    ("events.k8s.io", "events"): frozenset({"create", "update", "patch"}),
    ("", "services"): _READ,
    ("", "endpoints"): frozenset({"get"}),
    ("storage.k8s.io", "csidrivers"): _READ,
    ("node.k8s.io", "runtimeclasses"): _READ,
    ("storage.k8s.io", "volumeattachments"): frozenset({"get"}),
    ("certificates.k8s.io", "certificatesigningrequests"): _READ | {"create"},
    ("authentication.k8s.io", "tokenreviews"): frozenset({"create"}),
    ("authorization.k8s.io", "subjectaccessreviews"): frozenset({"create"}),
    ("authorization.k8s.io", "localsubjectaccessreviews"): frozenset({"create"}),
    ("", "nodes/status"): frozenset({"update", "patch"}),
    ("", "pods/status"): frozenset({"update", "patch"}),
    ("", "pods/eviction"): frozenset({"create"}),
}
_REFERENCED = frozenset({"secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"})


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """`cacheable` when the answer depends on nothing but the question."""

    decision: Decision
    cacheable: bool


_ALLOW = NodeAnswer(Decision(True), False)
_NO_OPINION = NodeAnswer(Decision(False), True)


def _no(reason: str, *, cacheable: bool = True) -> NodeAnswer:
    return NodeAnswer(Decision(False, reason), cacheable)


class NodeAuthorizer:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def authorize(self, attributes: Attributes) -> NodeAnswer:
        """Allowed, or no opinion (with a reason where Kubernetes gives one)."""
        if attributes.path:
            return _NO_OPINION
        node = node_name(attributes.user)
        if not node:
            return _no(f'unknown node for user "{attributes.user.name}"')
        verbs = _STATIC.get((attributes.group, attributes.resource_path))
        if verbs is not None:
            return _ALLOW if attributes.verb in verbs else _NO_OPINION
        key = (attributes.group, attributes.resource_path)
        if key == ("", "nodes"):
            return _node(attributes, node)
        if key == ("coordination.k8s.io", "leases"):
            return _lease(attributes, node)
        if key == ("storage.k8s.io", "csinodes"):
            return _own(attributes, node, {"get", "create", "update", "patch", "delete"})
        if key == ("", "pods"):
            return self._pod(attributes, node)
        if key == ("", "serviceaccounts/token"):
            return self._token(attributes, node)
        if attributes.group == "" and attributes.resource in _REFERENCED:
            return self._referenced(attributes, node)
        return _NO_OPINION

    def _pod(self, attributes: Attributes, node: str) -> NodeAnswer:
        verb = attributes.verb
        if verb in ("create", "delete"):
            return _ALLOW
        if verb not in _READ:
            return _NO_OPINION
        if verb in ("list", "watch") and _selects_node(attributes.field_selector, node):
            return _ALLOW
        if not attributes.name:
            return _no("can only list/watch pods with spec.nodeName field selector")
        pod = self._lookup.get(kinds.PODS, attributes.namespace, attributes.name)
        if pod is None or (pod.get("spec") or {}).get("nodeName") != node:
            return _unrelated(node)
        return NodeAnswer(Decision(True), cacheable=False)

    def _token(self, attributes: Attributes, node: str) -> NodeAnswer:
        if attributes.verb != "create":
            return _NO_OPINION
        for pod in self._pods_of(node, attributes.namespace):
            if (pod.get("spec") or {}).get("serviceAccountName") == attributes.name:
                return NodeAnswer(Decision(True), cacheable=False)
        return _unrelated(node)

    def _referenced(self, attributes: Attributes, node: str) -> NodeAnswer:
        if attributes.verb not in _READ or attributes.subresource:
            return _no("can only read resources of this type")
        if not attributes.name:
            return _no("No Object name found")
        if attributes.resource == "persistentvolumes":
            claims = kinds.resource("", "v1", "persistentvolumeclaims")
            names = {
                (claim["metadata"]["namespace"], claim["metadata"]["name"])
                for claim in self._lookup.list(claims)
                if (claim.get("spec") or {}).get("volumeName") == attributes.name
            }
            related = any(
                (pod["metadata"]["namespace"], name) in names
                for pod in self._pods_of(node, "")
                for name in _references(pod, "persistentvolumeclaims")
            )
        else:
            related = any(
                attributes.name in _references(pod, attributes.resource)
                for pod in self._pods_of(node, attributes.namespace)
            )
        return NodeAnswer(Decision(True), cacheable=False) if related else _unrelated(node)

    def _pods_of(self, node: str, namespace: str) -> Iterable[JsonObject]:
        for pod in self._lookup.list(kinds.PODS, namespace):
            if (pod.get("spec") or {}).get("nodeName") == node:
                yield pod


def _unrelated(node: str) -> NodeAnswer:
    return _no(f"no relationship found between node '{node}' and this object", cacheable=False)


def _node(attributes: Attributes, node: str) -> NodeAnswer:
    verb = attributes.verb
    if verb in ("create", "update", "patch"):
        return _ALLOW
    if verb in _READ:
        if attributes.name == node:
            return _ALLOW
        return _no(f"node '{node}' cannot read all nodes, only its own Node object")
    return _NO_OPINION


def _lease(attributes: Attributes, node: str) -> NodeAnswer:
    if attributes.namespace != LEASE_NAMESPACE:
        return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if attributes.verb not in ("get", "create", "update", "patch", "delete"):
        return _no("can only get, create, update, patch, or delete a node lease")
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return _ALLOW


def _own(attributes: Attributes, node: str, verbs: set[str]) -> NodeAnswer:
    if attributes.verb not in verbs:
        return _NO_OPINION
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return _ALLOW


def _selects_node(field_selector: str, node: str) -> bool:
    wanted = (f"spec.nodeName={node}", f"spec.nodeName=={node}")
    return any(part.strip() in wanted for part in field_selector.split(","))


def _references(pod: JsonObject, resource: str) -> set[str]:
    """Names of the secrets, config maps or claims that a pod refers to."""
    spec = pod.get("spec") or {}
    found: set[str] = set()
    volume_keys = {
        "secrets": ("secret", "secretName"),
        "configmaps": ("configMap", "name"),
        "persistentvolumeclaims": ("persistentVolumeClaim", "claimName"),
    }
    kind, name_key = volume_keys[resource]
    for volume in spec.get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            entry = source.get(kind) or {}
            found.add(entry.get(name_key) or entry.get("name", ""))
    if resource == "secrets":
        found.update(ref.get("name", "") for ref in spec.get("imagePullSecrets") or ())
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            found.update(_environment(container, resource))
    found.discard("")
    return found


def _environment(container: JsonObject, resource: str) -> Iterable[str]:
    ref_key, from_key = (
        ("secretKeyRef", "secretRef")
        if resource == "secrets"
        else ("configMapKeyRef", "configMapRef")
    )
    for entry in container.get("env") or ():
        yield ((entry.get("valueFrom") or {}).get(ref_key) or {}).get("name", "")
    for entry in container.get("envFrom") or ():
        yield (entry.get(from_key) or {}).get("name", "")
