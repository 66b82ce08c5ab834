"""Whole structs as error texts show them.

Kubernetes validates its internal types, which carry no JSON names, and prints a refused struct as
JSON: so the text has Go's field names, and all of them, zeros included. (LabelSelector and
OwnerReference are no internal types; they are shown as they came.)
"""

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

_Fields = tuple[tuple[str, str, JsonValue], ...]
"""(Go name, JSON name, zero value) of every field, in Go's order."""

_TAINT: _Fields = (
    ("Key", "key", ""), ("Value", "value", ""), ("Effect", "effect", ""),
    ("TimeAdded", "timeAdded", None),
)  # fmt: skip
_ROLE_REF: _Fields = (("APIGroup", "apiGroup", ""), ("Kind", "kind", ""), ("Name", "name", ""))
_STRATEGY: _Fields = (("Type", "type", ""), ("RollingUpdate", "rollingUpdate", None))
_ROLLING: _Fields = (("MaxUnavailable", "maxUnavailable", 0), ("MaxSurge", "maxSurge", 0))
_BUDGET: _Fields = (
    ("MinAvailable", "minAvailable", None), ("Selector", "selector", None),
    ("MaxUnavailable", "maxUnavailable", None),
    ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", None),
)  # fmt: skip


def _shown(tree: JsonObject | None, fields: _Fields) -> JsonObject:
    return {go: (tree or {}).get(name, zero) for go, name, zero in fields}


def taint(tree: JsonObject) -> JsonObject:
    """A core.Taint."""
    return _shown(tree, _TAINT)


def role_ref(tree: JsonObject | None) -> JsonObject:
    """An rbac.RoleRef."""
    return _shown(tree, _ROLE_REF)


def strategy(tree: JsonObject) -> JsonObject:
    """The update strategy of a DaemonSet or a Deployment."""
    shown = _shown(tree, _STRATEGY)
    if shown["RollingUpdate"] is not None:
        shown["RollingUpdate"] = _shown(shown["RollingUpdate"], _ROLLING)
    return shown


def disruption_budget_spec(tree: JsonObject) -> JsonObject:
    """A policy.PodDisruptionBudgetSpec."""
    return _shown(tree, _BUDGET)
