"""The Node authorizer: what the identity of a kubelet may read and write.

Source: Kubernetes v1.36, plugin/pkg/auth/authorizer/node/node_authorizer.go and the rules for nodes
in .../rbac/bootstrappolicy/policy.go, with the feature gates at their defaults. What it cannot know
(the content of a write) is left to NodeRestriction. Its answers depend on pods: never cached.
"""

from collections.abc import Callable

from kubeherd.cluster.apiserver.access.authz import relations
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.access.authz.relations import Related
from kubeherd.cluster.apiserver.access.kubelets import LEASE_NAMESPACE, node_of
from kubeherd.cluster.apiserver.read.lookup import Lookup

_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "update", "patch"})
_STATIC: dict[tuple[str, str], frozenset[str]] = {
    ("", "events"): _WRITE,
    ("events.k8s.io", "events"): _WRITE,
    ("", "services"): _READ,
    ("", "endpoints"): frozenset({"get"}),
    ("storage.k8s.io", "csidrivers"): _READ,
    ("node.k8s.io", "runtimeclasses"): _READ,
    ("certificates.k8s.io", "certificatesigningrequests"): _READ | {"create"},
    ("authentication.k8s.io", "tokenreviews"): frozenset({"create"}),
    ("authorization.k8s.io", "subjectaccessreviews"): frozenset({"create"}),
    ("authorization.k8s.io", "localsubjectaccessreviews"): frozenset({"create"}),
}
"""Allowed to every kubelet, by group and resource (with subresource)."""
_OWN_VERBS = frozenset({"get", "create", "update", "patch", "delete"})
_SELECTED_VERBS = frozenset({"list", "watch", "deletecollection"})

_ALLOWED = Decision(True)
_NO_OPINION = Decision(False)
_UNNAMED = Decision(False, "No Object name found")


class NodeAuthorizer:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def authorize(self, attributes: Attributes) -> Decision:
        """Allowed, or no opinion (with a reason where Kubernetes gives one)."""
        node = node_of(attributes.user)
        if node is None or attributes.path:
            return _NO_OPINION
        if not node:
            return Decision(False, f'unknown node for user "{attributes.user.name}"')
        rule = _RULES.get((attributes.group, attributes.resource))
        if rule is not None:
            return rule(attributes, node, self._lookup)
        verbs = _STATIC.get((attributes.group, attributes.resource_path), ())
        return _ALLOWED if attributes.verb in verbs else _NO_OPINION


_Rule = Callable[[Attributes, str, Lookup], Decision]


def _related(related: Related, attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    if not attributes.name:
        return _UNNAMED
    if related(lookup, node, attributes.namespace, attributes.name):
        return _ALLOWED
    return Decision(False, f"no relationship found between node '{node}' and this object")


def _get(related: Related) -> _Rule:
    """One object at a time, if it belongs to the node."""

    def rule(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
        if attributes.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot get subresource")
        return _related(related, attributes, node, lookup)

    return rule


def _read(related: Related) -> _Rule:
    """Also lists and watches of one named object, for the kubelet's caches."""

    def rule(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
        if attributes.verb not in _READ:
            return Decision(False, "can only read resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot read subresource")
        if not attributes.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return _related(related, attributes, node, lookup)

    return rule


def _claim(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    if attributes.subresource != "status":
        return _GET_CLAIM(attributes, node, lookup)
    if attributes.verb not in ("update", "patch"):
        return Decision(False, "can only get/update/patch this type")
    return _related(relations.claim, attributes, node, lookup)


def _service_account(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    if attributes.verb == "get" and not attributes.subresource:
        return _READ_ACCOUNT(attributes, node, lookup)
    if attributes.verb != "create" or not attributes.name:
        return Decision(False, "can only create tokens for individual service accounts")
    if attributes.subresource != "token":
        return Decision(False, "can only create token subresource of serviceaccount")
    return _related(relations.service_account, attributes, node, lookup)


_GET_CLAIM = _get(relations.claim)
_READ_ACCOUNT = _read(relations.service_account)


def _node(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    verb, name = attributes.verb, attributes.name
    if attributes.subresource == "status":
        return _ALLOWED if verb in ("update", "patch") else _NO_OPINION
    if attributes.subresource:
        return _NO_OPINION
    if verb in _WRITE:
        return _ALLOWED
    if verb not in _READ:
        return _NO_OPINION
    if name == node:
        return _ALLOWED
    what = f"'{name}'" if name else "all nodes"
    return Decision(False, f"node '{node}' cannot read {what}, only its own Node object")


def _pod(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    verb = attributes.verb
    match attributes.subresource:
        case "":
            return _whole_pod(attributes, node, lookup)
        case "status":
            return _ALLOWED if verb in ("update", "patch") else _NO_OPINION
        case "eviction":
            return _ALLOWED if verb == "create" else _NO_OPINION
        case _:
            return _NO_OPINION


def _whole_pod(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    verb = attributes.verb
    if verb in ("create", "delete"):
        return _ALLOWED
    if verb not in _READ:
        return _NO_OPINION
    if verb != "get" and _selects(attributes, node):
        return _ALLOWED
    if verb == "get" or attributes.name:
        return _related(relations.pod, attributes, node, lookup)
    return Decision(False, "can only list/watch pods with spec.nodeName field selector")


def _lease(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    if attributes.verb not in _OWN_VERBS:
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if attributes.namespace != LEASE_NAMESPACE:
        return Decision(
            False, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        )
    if attributes.verb != "create" and attributes.name != node:
        return Decision(
            False, "can only access node lease with the same name as the requesting node"
        )
    return _ALLOWED


def _csi_node(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    if attributes.verb not in _OWN_VERBS:
        return Decision(False, "can only get, create, update, patch, or delete a CSINode")
    if attributes.subresource:
        return Decision(False, "cannot authorize CSINode subresources")
    if attributes.verb != "create" and attributes.name != node:
        return Decision(False, "can only access CSINode with the same name as the requesting node")
    return _ALLOWED


def _resource_slice(attributes: Attributes, node: str, lookup: Lookup) -> Decision:
    verb = attributes.verb
    if attributes.subresource:
        return Decision(False, "cannot authorize ResourceSlice subresources")
    if verb == "create":
        return _ALLOWED
    if verb in _OWN_VERBS:
        return _related(relations.resource_slice, attributes, node, lookup)
    if verb not in _SELECTED_VERBS:
        return Decision(
            False,
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, "
            "update, patch, delete, deletecollection",
        )
    if _selects(attributes, node):
        return _ALLOWED
    return Decision(
        False,
        "can only list/watch/deletecollection resourceslices with nodeName field selector",
    )


def _selects(attributes: Attributes, node: str) -> bool:
    """Whether the field selector leaves nothing but objects of the node."""
    return any(
        one.field == "spec.nodeName" and one.value == node and not one.negated
        for one in attributes.field_selector.requirements
    )


_RULES: dict[tuple[str, str], _Rule] = {
    ("", "secrets"): _read(relations.secret),
    ("", "configmaps"): _read(relations.config_map),
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _get(relations.volume),
    ("resource.k8s.io", "resourceclaims"): _get(relations.resource_claim),
    ("storage.k8s.io", "volumeattachments"): _get(relations.attachment),
    ("", "serviceaccounts"): _service_account,
    ("coordination.k8s.io", "leases"): _lease,
    ("storage.k8s.io", "csinodes"): _csi_node,
    ("resource.k8s.io", "resourceslices"): _resource_slice,
    ("", "nodes"): _node,
    ("", "pods"): _pod,
}
"""What follows from more than the verb, by group and resource."""
