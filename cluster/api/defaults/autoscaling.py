"""Defaults of autoscaling (pkg/apis/autoscaling/v1 and v2, defaults.go and conversion.go)."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

DEFAULT_CPU_PERCENT = 80
METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_PERIOD_S = 15


def horizontal_pod_autoscaler(resource: Resource, tree: JsonObject) -> None:
    """HorizontalPodAutoscaler: at least one replica; 80 % of the CPU where no metric is named."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if resource.version == "v1":
        if METRICS_ANNOTATION not in (tree["metadata"].get("annotations") or {}):
            spec.setdefault("targetCPUUtilizationPercentage", DEFAULT_CPU_PERCENT)
        return
    if not spec.get("metrics"):
        spec["metrics"] = [cpu_metric(DEFAULT_CPU_PERCENT)]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        up.setdefault("stabilizationWindowSeconds", 0)
        _rules(up, [_policy("Pods", 4), _policy("Percent", 100)])
        _rules(behavior.setdefault("scaleDown", {}), [_policy("Percent", 100)])


def cpu_metric(percent: int) -> JsonObject:
    """The metric that autoscaling/v1 calls targetCPUUtilizationPercentage."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _policy(kind: str, value: int) -> JsonObject:
    return {"type": kind, "value": value, "periodSeconds": _PERIOD_S}


def _rules(rules: JsonObject, policies: list[JsonObject]) -> None:
    rules.setdefault("selectPolicy", "Max")
    rules.setdefault("policies", policies)
