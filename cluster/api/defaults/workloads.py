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
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
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
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def job(tree: JsonObject) -> None:
    """Job."""
    _job_spec(tree.setdefault("spec", {}))


def cron_job(tree: JsonObject) -> None:
    """CronJob, including the Job that it is a template of."""
    spec = tree.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    _job_spec(template.setdefault("spec", {}))


def pod_template(tree: JsonObject) -> None:
    """PodTemplate."""
    default_template(tree.setdefault("template", {}))


def _spec_with_template(tree: JsonObject) -> JsonObject:
    spec: JsonObject = tree.setdefault("spec", {})
    default_template(spec.setdefault("template", {}))
    return spec


def _job_spec(spec: JsonObject) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("completionMode", "NonIndexed")
    if "backoffLimit" not in spec:
        spec["backoffLimit"] = 2**31 - 1 if "backoffLimitPerIndex" in spec else 6
    spec.setdefault("suspend", False)
    default_podreplacement = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", default_podreplacement)
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            pattern.setdefault("status", "True")
    default_template(spec.setdefault("template", {}))
