"""Defaults of flowcontrol.apiserver.k8s.io (pkg/apis/flowcontrol/v1/defaults.go)."""

from kubeherd.cluster.api.jsontypes import JsonObject

_QUEUING = {"handSize": 8, "queues": 64, "queueLengthLimit": 50}


def flow_schema(tree: JsonObject) -> None:
    """FlowSchema: precedence 1000."""
    spec = tree.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def priority_level(tree: JsonObject) -> None:
    """PriorityLevelConfiguration: thirty shares, of which none are lent."""
    spec = tree.setdefault("spec", {})
    for name, shares in (("exempt", 0), ("limited", 30)):
        level = spec.get(name)
        if level is not None:
            level.setdefault("nominalConcurrencyShares", shares)
            level.setdefault("lendablePercent", 0)
    queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
    if queuing is not None:
        for name, value in _QUEUING.items():
            queuing[name] = queuing.get(name) or value
