"""The roles and bindings that exist from the start.

They are the bootstrap policy of Kubernetes v1.36 (plugin/pkg/auth/authorizer/rbac/bootstrappolicy),
kept as data in ``policy.json`` (`scripts/update_policy.py` makes it), and what kubeherd adds: a
role for agent processes with many nodes, and one for a controller manager whose controllers share
an identity (a cluster's own have their accounts). Aggregated roles have their rules from the start,
as if their controller had run.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import orjson

from kubeherd.cluster.api.helpers import aggregation
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz.reconciliation import AUTO_UPDATE
from kubeherd.cluster.apiserver.access.kubelets import FLEET_AGENTS, LEASE_NAMESPACE

CONTROLLER_MANAGERS = "kubeherd:controller-managers"
"""The group of controller managers without ``--use-service-account-credentials``."""
RETIRED = "kubeherd:controller-manager"
"""A role and its binding in older stores: with them the controller manager may do too much."""
_READ = ["get", "list", "watch"]
_RBAC = "rbac.authorization.k8s.io"
_ANNOTATIONS = {AUTO_UPDATE: "true"}
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def _rule(verbs: list[str], groups: list[str], resources: list[str]) -> JsonObject:
    return {"verbs": verbs, "apiGroups": groups, "resources": resources}


_EVENTS = _rule(["create", "patch", "update"], ["", "events.k8s.io"], ["events"])
_CREATED = [
    "pods", "configmaps", "secrets", "serviceaccounts", "serviceaccounts/token", "endpoints",
    "services", "pods/eviction", "pods/binding", "bindings", "events", "persistentvolumeclaims",
    "persistentvolumes", "namespaces",
]  # fmt: skip
_CREATED_GROUPS = [
    "apps", "authentication.k8s.io", "authorization.k8s.io", "batch", "coordination.k8s.io",
    "discovery.k8s.io", "events.k8s.io",
]  # fmt: skip
_OWN: dict[str, list[JsonObject]] = {
    "clusterRoles": [
        {
            "name": FLEET_AGENTS,
            "rules": [
                _EVENTS,
                _rule(["create", "get", "list", "patch", "update", "watch"], [""], ["nodes"]),
                _rule(["patch", "update"], [""], ["nodes/status", "pods/status"]),
                _rule(["create", "delete", *_READ], [""], ["pods"]),  # create: mirror pods
                _rule(["get"], [""], ["persistentvolumeclaims"]),
            ],
        },
        {
            "name": CONTROLLER_MANAGERS,
            "rules": [
                _rule([*_READ, "delete", "deletecollection", "patch", "update"], ["*"], ["*"]),
                _rule(["create"], [""], _CREATED),
                _rule(["create"], _CREATED_GROUPS, ["*"]),
                _rule(["escalate"], [_RBAC], ["clusterroles"]),
                _rule(["approve", "sign"], ["certificates.k8s.io"], ["signers"]),
                {"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*"]},
            ],
        },
    ],
    "clusterRoleBindings": [
        {"name": FLEET_AGENTS, "role": FLEET_AGENTS, "subjects": [["Group", "", FLEET_AGENTS]]},
        {
            "name": CONTROLLER_MANAGERS,
            "role": CONTROLLER_MANAGERS,
            "subjects": [["Group", "", CONTROLLER_MANAGERS]],
        },
    ],
    "roles": [
        {
            "namespace": LEASE_NAMESPACE,
            "name": FLEET_AGENTS,
            "rules": [_rule(["create", "get", "update"], ["coordination.k8s.io"], ["leases"])],
        }
    ],
    "roleBindings": [
        {
            "namespace": LEASE_NAMESPACE,
            "name": FLEET_AGENTS,
            "role": FLEET_AGENTS,
            "subjects": [["Group", "", FLEET_AGENTS]],
        }
    ],
}


def objects() -> dict[str, list[JsonObject]]:
    """What to create where it is missing, without kind and apiVersion: ``clusterRoles``,
    ``clusterRoleBindings``, ``roles``, ``roleBindings``, in the order of Kubernetes. Each call
    gives trees of its own."""
    trees: dict[str, list[JsonObject]] = orjson.loads(_objects())
    return trees


@cache
def _objects() -> bytes:
    """All of them, made once for all processes that are forked from one."""
    published = _published()
    made = {key: [*published[key], *_OWN[key]] for key in published}
    cluster_roles = [_role(entry) for entry in made["clusterRoles"]]
    _aggregate(cluster_roles)
    made_of_all = {
        "clusterRoles": cluster_roles,
        "clusterRoleBindings": [_binding("ClusterRole", e) for e in made["clusterRoleBindings"]],
        "roles": [_role(entry) for entry in made["roles"]],
        "roleBindings": [_binding("Role", entry) for entry in made["roleBindings"]],
    }
    return orjson.dumps(made_of_all)


def controller_accounts() -> frozenset[str]:
    """The users that are controllers: service accounts in kube-system to which Kubernetes has bound
    a role ``system:controller:NAME``."""
    published = _published()
    return frozenset(
        f"system:serviceaccount:{namespace}:{name}"
        for key in ("clusterRoleBindings", "roleBindings")
        for binding in published[key]
        if binding["name"].startswith("system:controller:")
        for kind, namespace, name in binding["subjects"]
        if kind == "ServiceAccount"
    )


def _published() -> dict[str, list[JsonObject]]:
    published: dict[str, list[JsonObject]] = orjson.loads(
        Path(__file__).with_name("policy.json").read_bytes()
    )
    return published


def _aggregate(roles: Iterable[JsonObject]) -> None:
    """Fill in the rules of aggregated roles, which may stand on each other: until all is said."""
    aggregated = [role for role in roles if aggregation.selectors(role)]
    for _ in aggregated:
        for role in aggregated:
            role["rules"] = aggregation.aggregated_rules(role, roles)


def _meta(entry: JsonObject) -> JsonObject:
    meta: JsonObject = {
        "name": entry["name"],
        "labels": {**_LABELS, **entry.get("labels", {})},
        "annotations": dict(_ANNOTATIONS),
    }
    if namespace := entry.get("namespace"):
        meta["namespace"] = namespace
    return meta


def _role(entry: JsonObject) -> JsonObject:
    role: JsonObject = {"metadata": _meta(entry), "rules": entry.get("rules", [])}
    if rule := entry.get("aggregationRule"):
        role["aggregationRule"] = rule
    return role


def _binding(kind: str, entry: JsonObject) -> JsonObject:
    binding: JsonObject = {
        "metadata": _meta(entry),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": entry["role"]},
    }
    if subjects := entry.get("subjects"):
        binding["subjects"] = [_subject(*subject) for subject in subjects]
    return binding


def _subject(kind: str, namespace: str, name: str) -> JsonObject:
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"kind": kind, "apiGroup": _RBAC, "name": name}
