"""Defaults of batch (pkg/apis/batch/v1/defaults.go)."""

from kubeherd.cluster.api.defaults.pod import default_template
from kubeherd.cluster.api.jsontypes import JsonObject

_NO_LIMIT = 2**31 - 1


def job(tree: JsonObject) -> None:
    """Job: one completion; its labels are those of its pods."""
    spec = tree.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("backoffLimit", _NO_LIMIT if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    replacement = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", replacement)
    _pods(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not tree["metadata"].get("labels"):
        tree["metadata"]["labels"] = dict(labels)


def cron_job(tree: JsonObject) -> None:
    """CronJob; of the Job that it is a template of only what concerns the pods."""
    spec = tree.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    _pods(spec.setdefault("jobTemplate", {}).setdefault("spec", {}))


def _pods(spec: JsonObject) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions", ()):
            if not pattern.get("status"):
                pattern["status"] = "True"
    default_template(spec.setdefault("template", {}))
