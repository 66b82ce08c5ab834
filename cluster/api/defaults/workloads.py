"""Defaults of the kinds that embed a pod template (spec api-machinery, section 17)."""

from kubeherd.cluster.api.defaults.pod import default_template
from kubeherd.cluster.api.jsontypes import JsonObject


def daemon_set(tree: JsonObject) -> None:
    """DaemonSet: rolling update of one node at a time, ten revisions kept."""
    spec = _spec_with_template(tree)
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("maxUnavailable", 1)
    _written_zeros(strategy, "maxUnavailable", "maxSurge")
    spec.setdefault("revisionHistoryLimit", 10)


def deployment(tree: JsonObject) -> None:
    """Deployment: one replica, rolling update by quarters."""
    spec = _spec_with_template(tree)
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def replica_set(tree: JsonObject) -> None:
    """ReplicaSet: one replica."""
    _spec_with_template(tree).setdefault("replicas", 1)


def replication_controller(tree: JsonObject) -> None:
    """ReplicationController: one replica; selector and labels from the template's labels."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = spec.get("template")
    if template is None:
        return
    default_template(template)
    labels = template["metadata"].get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not tree["metadata"].get("labels"):
            tree["metadata"]["labels"] = dict(labels)


def stateful_set(tree: JsonObject) -> None:
    """StatefulSet: one replica, ordered, claims retained."""
    spec = _spec_with_template(tree)
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    _written_zeros(strategy, "partition")
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def pod_template(tree: JsonObject) -> None:
    """PodTemplate."""
    default_template(tree.setdefault("template", {}))


def _written_zeros(strategy: JsonObject, *names: str) -> None:
    """Numbers of a rolling update, which Kubernetes' own types always hold, whatever the type."""
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        for name in names:
            rolling.setdefault(name, 0)


def _spec_with_template(tree: JsonObject) -> JsonObject:
    spec: JsonObject = tree.setdefault("spec", {})
    default_template(spec.setdefault("template", {}))
    return spec
