"""Defaults of rbac.authorization.k8s.io and scheduling.k8s.io."""

from kubeherd.cluster.api.jsontypes import JsonObject


def role_binding(tree: JsonObject) -> None:
    """RoleBinding and ClusterRoleBinding: API groups of the role and of its subjects."""
    role = tree.setdefault("roleRef", {})
    if not role.get("apiGroup"):
        role["apiGroup"] = "rbac.authorization.k8s.io"
    for subject in tree.get("subjects", ()):
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = "rbac.authorization.k8s.io"


def priority_class(tree: JsonObject) -> None:
    """PriorityClass: pods of the class preempt others."""
    tree.setdefault("preemptionPolicy", "PreemptLowerPriority")
