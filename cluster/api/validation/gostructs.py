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
_STATEFUL_SET_ROLLING: _Fields = (
    ("Partition", "partition", 0), ("MaxUnavailable", "maxUnavailable", None),
)  # fmt: skip
_BUDGET: _Fields = (
    ("MinAvailable", "minAvailable", None), ("Selector", "selector", None),
    ("MaxUnavailable", "maxUnavailable", None),
    ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", None),
)  # fmt: skip
_CSI_NODE_DRIVER: _Fields = (
    ("Name", "name", ""), ("NodeID", "nodeID", ""), ("TopologyKeys", "topologyKeys", None),
)  # fmt: skip
_SUCCESS_RULE: _Fields = (
    ("SucceededIndexes", "succeededIndexes", None), ("SucceededCount", "succeededCount", None),
)  # fmt: skip
_OBJECT_REFERENCE: _Fields = (
    ("Kind", "kind", ""), ("Namespace", "namespace", ""), ("Name", "name", ""), ("UID", "uid", ""),
    ("APIVersion", "apiVersion", ""), ("ResourceVersion", "resourceVersion", ""),
    ("FieldPath", "fieldPath", ""),
)  # fmt: skip
_EVENT_SOURCE: _Fields = (("Component", "component", ""), ("Host", "host", ""))


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


def csi_node_driver(tree: JsonObject) -> JsonObject:
    """A storage.CSINodeDriver without what may change in it."""
    return {**_shown(tree, _CSI_NODE_DRIVER), "Allocatable": None}


def success_policy(tree: JsonObject) -> JsonObject:
    """A batch.SuccessPolicy."""
    rules = tree.get("rules")
    if rules is None:
        return {"Rules": None}
    return {"Rules": [_shown(rule, _SUCCESS_RULE) for rule in rules]}


def stateful_set_strategy(tree: JsonObject) -> JsonObject:
    """An apps.StatefulSetUpdateStrategy."""
    shown = _shown(tree, _STRATEGY)
    if shown["RollingUpdate"] is not None:
        shown["RollingUpdate"] = stateful_set_rolling_update(shown["RollingUpdate"])
    return shown


def stateful_set_rolling_update(tree: JsonObject) -> JsonObject:
    """An apps.RollingUpdateStatefulSetStrategy."""
    return _shown(tree, _STATEFUL_SET_ROLLING)


def object_reference(tree: JsonObject) -> JsonObject:
    """A core.ObjectReference."""
    return _shown(tree, _OBJECT_REFERENCE)


def event_source(tree: JsonObject) -> JsonObject:
    """A core.EventSource."""
    return _shown(tree, _EVENT_SOURCE)


def label_selector(tree: JsonObject | None) -> JsonValue:
    """A meta.LabelSelector, whose fields have JSON names: in Go's order, without its zeros."""
    if tree is None:
        return None
    shown: JsonObject = {}
    if tree.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(tree["matchLabels"].items()))
    if tree.get("matchExpressions"):
        shown["matchExpressions"] = [
            {
                "key": item.get("key", ""),
                "operator": item.get("operator", ""),
                **({"values": item["values"]} if item.get("values") else {}),
            }
            for item in tree["matchExpressions"]
        ]
    return shown
