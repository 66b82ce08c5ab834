"""The roles and bindings that exist from the start (spec api-machinery, section 20).

They follow the bootstrap policy of Kubernetes, with these differences: one role for the whole
controller manager identity (kubeherd runs its controllers under it), one for agent processes with
many nodes, and ``admin``, ``edit`` and ``view`` written out instead of aggregated.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.kubelets import FLEET_AGENTS, LEASE_NAMESPACE

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_ALL = (*_READ, *_WRITE)
_RBAC = "rbac.authorization.k8s.io"
_META: JsonObject = {
    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
}


def _rule(
    verbs: tuple[str, ...], groups: tuple[str, ...], resources: tuple[str, ...]
) -> JsonObject:
    return {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}


def _urls(*urls: str) -> JsonObject:
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}


_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_WORKLOADS = (
    "daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale",
    "statefulsets", "statefulsets/scale", "controllerrevisions",
)  # fmt: skip
_CORE_EDIT = (
    "configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "pods/eviction",
    "replicationcontrollers", "replicationcontrollers/scale", "secrets", "serviceaccounts",
    "services",
)  # fmt: skip
_CORE_VIEW = (
    "configmaps", "endpoints", "events", "limitranges", "namespaces", "persistentvolumeclaims",
    "pods", "pods/log", "pods/status", "replicationcontrollers", "replicationcontrollers/scale",
    "resourcequotas", "serviceaccounts", "services",
)  # fmt: skip
_VIEW = [
    _rule(_READ, ("",), _CORE_VIEW),
    _rule(_READ, ("apps",), tuple(f"{r}" for r in _WORKLOADS)),
    _rule(_READ, ("batch",), ("jobs", "cronjobs")),
    _rule(_READ, ("autoscaling",), ("horizontalpodautoscalers",)),
    _rule(_READ, ("policy",), ("poddisruptionbudgets",)),
    _rule(_READ, ("networking.k8s.io",), ("ingresses", "networkpolicies")),
    _rule(_READ, ("discovery.k8s.io",), ("endpointslices",)),
    _rule(_READ, ("events.k8s.io",), ("events",)),
]
_EDIT = [
    *_VIEW,
    _rule(("impersonate",), ("",), ("serviceaccounts",)),
    _rule(_ALL, ("",), _CORE_EDIT),
    _rule(("create", "get"), ("",), ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")),
    _rule(_ALL, ("apps",), _WORKLOADS),
    _rule(_ALL, ("batch",), ("jobs", "cronjobs")),
    _rule(_ALL, ("autoscaling",), ("horizontalpodautoscalers",)),
    _rule(_ALL, ("policy",), ("poddisruptionbudgets",)),
    _rule(_ALL, ("networking.k8s.io",), ("ingresses", "networkpolicies")),
    _rule(_ALL, ("coordination.k8s.io",), ("leases",)),
]
_ADMIN = [
    *_EDIT,
    _rule(_ALL, ("rbac.authorization.k8s.io",), ("roles", "rolebindings")),
    _rule(("create",), ("authorization.k8s.io",), ("localsubjectaccessreviews",)),
]
_EVENTS = _rule(("create", "patch", "update"), ("", "events.k8s.io"), ("events",))
_REVIEWS = [
    _rule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
    _rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
]
_LEADER = _rule(("create", "get", "update", "list", "watch"), ("coordination.k8s.io",), ("leases",))

_CLUSTER_ROLES: dict[str, list[JsonObject]] = {
    "cluster-admin": [
        _rule(("*",), ("*",), ("*",)),
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ],
    "admin": _ADMIN,
    "edit": _EDIT,
    "view": _VIEW,
    "system:discovery": [
        _urls("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH)
    ],
    "system:public-info-viewer": [_urls(*_HEALTH)],
    "system:monitoring": [_urls(
        "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*",
    )],
    "system:basic-user": [
        _rule(
            ("create",),
            ("authorization.k8s.io",),
            ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        ),
        _rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    ],
    "system:node-bootstrapper": [
        _rule(
            ("create", *_READ), ("certificates.k8s.io",), ("certificatesigningrequests",)
        )
    ],
    FLEET_AGENTS: [
        _EVENTS,
        _rule(("create", "get", "list", "patch", "update", "watch"), ("",), ("nodes",)),
        _rule(("patch", "update"), ("",), ("nodes/status", "pods/status")),
        _rule(("delete", *_READ), ("",), ("pods",)),
    ],
    "system:kube-scheduler": [
        _EVENTS,
        _LEADER,
        *_REVIEWS,
        _rule(_READ, ("",), ("nodes", "namespaces", "services", "replicationcontrollers",
                             "persistentvolumeclaims", "persistentvolumes")),
        _rule(("delete", *_READ), ("",), ("pods",)),
        _rule(("create",), ("",), ("bindings", "pods/binding")),
        _rule(("patch", "update"), ("",), ("pods/status",)),
        _rule(_READ, ("apps",), ("replicasets", "statefulsets")),
        _rule(_READ, ("policy",), ("poddisruptionbudgets",)),
        _rule(_READ, ("storage.k8s.io",), ("*",)),
        _rule(("get", "list", "watch", "update", "patch"), ("resource.k8s.io",), ("*",)),
    ],
    "system:kube-controller-manager": [
        _EVENTS,
        _LEADER,
        *_REVIEWS,
        _rule(_READ, ("*",), ("*",)),
        _rule(("delete", "deletecollection", "patch", "update"), ("*",), ("*",)),
        _rule(("create",), ("",), (
            "pods", "configmaps", "secrets", "serviceaccounts", "serviceaccounts/token",
            "endpoints", "services", "pods/eviction", "pods/binding", "bindings", "events",
            "persistentvolumeclaims", "persistentvolumes", "namespaces",
        )),
        _rule(("create",), (
            "apps", "batch", "discovery.k8s.io", "coordination.k8s.io", "events.k8s.io",
        ), ("*",)),
        _urls("/api", "/api/*", "/apis", "/apis/*"),
    ],
}  # fmt: skip

_BINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "cluster-admin": (("Group", "system:masters"),),
    "system:discovery": (("Group", "system:authenticated"),),
    "system:basic-user": (("Group", "system:authenticated"),),
    "system:public-info-viewer": (
        ("Group", "system:authenticated"),
        ("Group", "system:unauthenticated"),
    ),
    "system:monitoring": (("Group", "system:monitoring"),),
    FLEET_AGENTS: (("Group", FLEET_AGENTS),),
    "system:kube-scheduler": (("User", "system:kube-scheduler"),),
    "system:kube-controller-manager": (("User", "system:kube-controller-manager"),),
}


_ROLES: dict[tuple[str, str], list[JsonObject]] = {
    (LEASE_NAMESPACE, FLEET_AGENTS): [
        _rule(("create", "get", "update"), ("coordination.k8s.io",), ("leases",))
    ],
}
"""Roles by namespace and name."""
_ROLE_BINDINGS: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    (LEASE_NAMESPACE, FLEET_AGENTS): (("Group", FLEET_AGENTS),),
}
"""To the role of the same name, by namespace and name."""


def cluster_roles() -> list[JsonObject]:
    """The ClusterRoles to create where they are missing."""
    return [
        {"metadata": {"name": name, **_META}, "rules": rules}
        for name, rules in _CLUSTER_ROLES.items()
    ]


def cluster_role_bindings() -> list[JsonObject]:
    """The ClusterRoleBindings to create where they are missing."""
    return [
        {"metadata": {"name": name, **_META}, **_binding("ClusterRole", name, subjects)}
        for name, subjects in _BINDINGS.items()
    ]


def roles() -> list[JsonObject]:
    """The Roles to create where they are missing."""
    return [
        {"metadata": {"name": name, "namespace": namespace, **_META}, "rules": rules}
        for (namespace, name), rules in _ROLES.items()
    ]


def role_bindings() -> list[JsonObject]:
    """The RoleBindings to create where they are missing."""
    return [
        {
            "metadata": {"name": name, "namespace": namespace, **_META},
            **_binding("Role", name, subjects),
        }
        for (namespace, name), subjects in _ROLE_BINDINGS.items()
    ]


def _binding(kind: str, name: str, subjects: tuple[tuple[str, str], ...]) -> JsonObject:
    return {
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [
            {"kind": kind, "apiGroup": _RBAC, "name": subject} for kind, subject in subjects
        ],
    }
