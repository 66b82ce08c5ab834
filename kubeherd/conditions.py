"""What one waits for, as questions about an object of Kubernetes in its JSON form. Pure."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]


def is_ready(obj: JsonObject) -> bool:
    """Whether the condition Ready of a Node or Pod is True.

    >>> is_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    True
    >>> is_ready({"status": {}})
    False
    """
    conditions = obj.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_rolled_out(daemonset: JsonObject) -> bool:
    """Whether every node of a DaemonSet runs an available pod of its newest template.

    As `kubectl rollout status` decides it (kubectl 1.36, DaemonSetStatusViewer).

    >>> is_rolled_out({
    ...     "metadata": {"generation": 2},
    ...     "status": {"observedGeneration": 1, "desiredNumberScheduled": 3},
    ... })
    False
    """
    status = daemonset.get("status", {})
    desired = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("observedGeneration", 0) >= daemonset["metadata"].get("generation", 0)
        and status.get("updatedNumberScheduled", 0) >= desired
        and status.get("numberAvailable", 0) >= desired
    )


def rollout_summary(daemonset: JsonObject) -> str:
    """How far the rollout of a DaemonSet is, for a person."""
    status = daemonset.get("status", {})
    desired = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration", 0) < daemonset["metadata"].get("generation", 0):
        return "the controller has not seen the newest spec"
    return (
        f"{status.get('updatedNumberScheduled', 0)} of {desired} updated, "
        f"{status.get('numberAvailable', 0)} of {desired} available"
    )
