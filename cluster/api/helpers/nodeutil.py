"""Readiness of nodes, as controllers and the command line see it."""

from kubeherd.cluster.api.objects import Condition, Node


def ready_condition(node: Node) -> Condition | None:
    """The node's Ready condition, or None if nobody posted one yet."""
    return next((c for c in node.status.conditions if c.type == "Ready"), None)


def is_ready(node: Node) -> bool:
    """Whether the Ready condition is True; Unknown and none at all count as not ready."""
    condition = ready_condition(node)
    return condition is not None and condition.status == "True"
