"""Whether a workload has come up, by its status alone. Pure."""

from kubeherd.cluster.api.jsontypes import JsonObject


def is_available(tree: JsonObject) -> bool:
    """Whether all that this DaemonSet, Deployment or Pod should run is available.

    Its controller has seen it as it is (`observedGeneration`). A pod is if it is Ready.
    """
    rule = {"DaemonSet": _daemonset, "Deployment": _deployment, "Pod": _pod}[tree["kind"]]
    return rule(tree, tree.get("status") or {})


def _daemonset(tree: JsonObject, status: JsonObject) -> bool:
    desired = status.get("desiredNumberScheduled", 0)
    return _seen(tree, status) and 0 < desired == status.get("numberAvailable", 0)


def _deployment(tree: JsonObject, status: JsonObject) -> bool:
    return _seen(tree, status) and tree["spec"]["replicas"] == status.get("availableReplicas", 0)


def _pod(_tree: JsonObject, status: JsonObject) -> bool:
    conditions = status.get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _seen(tree: JsonObject, status: JsonObject) -> bool:
    return bool(status.get("observedGeneration") == tree["metadata"]["generation"])
