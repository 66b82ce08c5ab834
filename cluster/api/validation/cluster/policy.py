"""Rules of PriorityClass, PodDisruptionBudget and the kinds of RBAC."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import (
    count_or_percent,
    each,
    immutable,
    label_selector,
    percent_at_most_100,
)

HIGHEST_USER_PRIORITY = 10**9
_SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_RBAC = "rbac.authorization.k8s.io"


def create_priority_class(tree: JsonObject) -> list[Cause]:
    """A PriorityClass: names with ``system-`` and values above a billion are reserved."""
    name = (tree.get("metadata") or {}).get("name", "")
    value = tree.get("value", 0)
    causes: list[Cause] = []
    if name.startswith("system-"):
        if _SYSTEM_CLASSES.get(name) != value:
            known = f"value of {name} PriorityClass must be {_SYSTEM_CLASSES.get(name)}"
            why = (
                known if name in _SYSTEM_CLASSES else f"{name} is not a known system priority class"
            )
            detail = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {why}"
            )
            causes.append(forbidden("metadata.name", detail))
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        causes.append(forbidden("value", detail))
    policy = tree.get("preemptionPolicy")
    if policy is not None and policy not in ("Never", "PreemptLowerPriority"):
        supported = ("PreemptLowerPriority", "Never")
        causes.append(not_supported("preemptionPolicy", policy, supported))
    return causes


def update_priority_class(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed PriorityClass: value and policy stay."""
    causes: list[Cause] = []
    if new.get("value", 0) != old.get("value", 0):
        causes.append(forbidden("value", "may not be changed in an update."))
    after, before = new.get("preemptionPolicy"), old.get("preemptionPolicy")
    return causes + immutable(after, before, "preemptionPolicy")


def create_disruption_budget(tree: JsonObject) -> list[Cause]:
    """A PodDisruptionBudget: minAvailable or maxUnavailable, not both."""
    spec = tree.get("spec") or {}
    causes: list[Cause] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        causes.append(invalid("spec", gostructs.disruption_budget_spec(spec), detail))
    for name in ("minAvailable", "maxUnavailable"):
        if spec.get(name) is not None:
            causes += count_or_percent(spec[name], f"spec.{name}")
            causes += percent_at_most_100(spec[name], f"spec.{name}")
    causes += label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    supported = ("AlwaysAllow", "IfHealthyBudget")
    if policy is not None and policy not in supported:
        causes.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, supported))
    return causes


def create_role(tree: JsonObject) -> list[Cause]:
    """A Role."""
    return _rules(tree, namespaced=True)


def create_cluster_role(tree: JsonObject) -> list[Cause]:
    """A ClusterRole."""
    causes = _rules(tree, namespaced=False)
    selectors = (tree.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if tree.get("aggregationRule") is not None and not selectors:
        at = "aggregationRule.clusterRoleSelectors"
        causes.append(
            required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        )
    for at, selector in each(selectors, "aggregationRule.clusterRoleSelectors"):
        causes += label_selector(selector, at)
    return causes


def _rules(tree: JsonObject, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    for at, rule in each(tree.get("rules"), "rules"):
        if not rule.get("verbs"):
            causes.append(required(f"{at}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                causes.append(invalid(f"{at}.nonResourceURLs", urls, detail))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                causes.append(invalid(f"{at}.nonResourceURLs", urls, detail))
            continue
        if not rule.get("apiGroups"):
            detail = "resource rules must supply at least one api group"
            causes.append(required(f"{at}.apiGroups", detail))
        if not rule.get("resources"):
            detail = "resource rules must supply at least one resource"
            causes.append(required(f"{at}.resources", detail))
    return causes


def create_role_binding(tree: JsonObject) -> list[Cause]:
    """A RoleBinding: to a Role or a ClusterRole."""
    return _binding(tree, ("Role", "ClusterRole"), namespaced=True)


def create_cluster_role_binding(tree: JsonObject) -> list[Cause]:
    """A ClusterRoleBinding: to a ClusterRole."""
    return _binding(tree, ("ClusterRole",), namespaced=False)


def _binding(tree: JsonObject, kinds: tuple[str, ...], *, namespaced: bool) -> list[Cause]:
    role = tree.get("roleRef") or {}
    causes: list[Cause] = []
    if role.get("apiGroup") != _RBAC:
        causes.append(not_supported("roleRef.apiGroup", role.get("apiGroup", ""), (_RBAC,)))
    if role.get("kind") not in kinds:
        causes.append(not_supported("roleRef.kind", role.get("kind", ""), kinds))
    if not role.get("name"):
        causes.append(required("roleRef.name"))
    else:
        causes += invalid_each("roleRef.name", role["name"], names.path_segment(role["name"]))
    for at, subject in each(tree.get("subjects"), "subjects"):
        causes += _subject(subject, at, namespaced=namespaced)
    return causes


def _subject(subject: JsonObject, path: str, *, namespaced: bool) -> list[Cause]:
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    causes: list[Cause] = [] if subject.get("name") else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        if subject.get("name"):
            problems = names.dns_subdomain(subject["name"])
            causes += invalid_each(f"{path}.name", subject["name"], problems)
        if group:
            causes.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _RBAC:
            causes.append(not_supported(f"{path}.apiGroup", group, (_RBAC,)))
    else:
        supported = ("ServiceAccount", "User", "Group")
        causes.append(not_supported(f"{path}.kind", kind, supported))
    return causes


def update_role_binding(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed RoleBinding: the role stays."""
    return _changed_role(new, old) + create_role_binding(new)


def update_cluster_role_binding(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ClusterRoleBinding: the role stays."""
    return _changed_role(new, old) + create_cluster_role_binding(new)


def _changed_role(new: JsonObject, old: JsonObject) -> list[Cause]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid("roleRef", gostructs.role_ref(new.get("roleRef")), "cannot change roleRef")]
