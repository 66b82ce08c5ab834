"""Rules of HorizontalPodAutoscaler (pkg/apis/autoscaling/validation)."""

import msgspec

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.defaults.autoscaling import cpu_metric
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, not_negative, one_of
from kubeherd.cluster.api.validation.pods.resources import resource_name
from kubeherd.cluster.api.validation.references import segment
from kubeherd.cluster.api.validation.rules import Rules

_MAX_PERIOD_S = 1800
_MAX_STABILIZATION_S = 3600
_SOURCES = {
    "ContainerResource": "containerResource", "External": "external", "Object": "object",
    "Pods": "pods", "Resource": "resource",
}  # fmt: skip
_ONE_TARGET = "must set either a target raw value or a target utilization"
_NOT_BOTH = "may not set both a target raw value and a target utilization"


class _Allowed(msgspec.Struct, frozen=True):
    """What an old object already has and may keep."""

    zero_replicas: bool = False
    any_target_version: bool = False
    any_object_version: bool = False


def create_autoscaler(tree: JsonObject) -> list[Cause]:
    """A new HorizontalPodAutoscaler, in autoscaling/v2 or v1."""
    return _spec(tree.get("spec") or {}, "spec", _Allowed())


def update_autoscaler(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed HorizontalPodAutoscaler; what was let in once is not refused now."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    target, former = after.get("scaleTargetRef") or {}, before.get("scaleTargetRef") or {}
    objects = [metric["object"] for metric in before.get("metrics", ()) if metric.get("object")]
    allowed = _Allowed(
        zero_replicas=before.get("minReplicas") == 0,
        any_target_version=all(
            target.get(name, "") == former.get(name, "") for name in ("apiVersion", "kind")
        ),
        any_object_version=any(
            _version_problem(item.get("describedObject") or {}, core_allowed=True)
            for item in objects
        ),
    )
    return _spec(after, "spec", allowed)


def update_autoscaler_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a HorizontalPodAutoscaler: no negative counts."""
    status = new.get("status") or {}
    counts = not_negative(status, "currentReplicas", "status")
    return counts + not_negative(status, "desiredReplicas", "status")


def _spec(spec: JsonObject, path: str, allowed: _Allowed) -> list[Cause]:
    causes: list[Cause] = []
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    least = 0 if allowed.zero_replicas else 1
    if low is not None and low < least:
        detail = f"must be greater than or equal to {least}"
        causes.append(invalid(f"{path}.minReplicas", low, detail))
    if high == 0:
        causes.append(required(f"{path}.maxReplicas", "must be set and greater than 0"))
    elif high < 0:
        causes.append(invalid(f"{path}.maxReplicas", high, "must be greater than or equal to 1"))
    if low is not None and high < low:
        detail = "must be greater than or equal to `minReplicas`"
        causes.append(invalid(f"{path}.maxReplicas", high, detail))
    target = spec.get("scaleTargetRef") or {}
    core_allowed = target.get("kind") == "ReplicationController"
    causes += _reference(
        target, f"{path}.scaleTargetRef", core_allowed, skip=allowed.any_target_version
    )
    metrics = spec.get("metrics") or []
    if spec.get("targetCPUUtilizationPercentage") is not None:  # autoscaling/v1
        metrics = [*metrics, cpu_metric(spec["targetCPUUtilizationPercentage"])]
    for at, metric in each(metrics, f"{path}.metrics"):
        causes += _metric(metric, at, allowed)
    if low == 0 and not any(item.get("type") in ("Object", "External") for item in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero "
        causes.append(forbidden(f"{path}.metrics", f"{detail}replicas"))
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            causes += _scaling_rules(rules, f"{path}.behavior.{direction}")
    return causes


def _reference(
    reference: JsonObject, path: str, core_allowed: bool, *, skip: bool = False
) -> list[Cause]:
    causes = segment(reference, "kind", path) + segment(reference, "name", path)
    problem = "" if skip else _version_problem(reference, core_allowed)
    if problem:
        causes.append(invalid(f"{path}.apiVersion", reference.get("apiVersion", ""), problem))
    return causes


def _version_problem(reference: JsonObject, core_allowed: bool) -> str:
    version = reference.get("apiVersion", "")
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    if not core_allowed and not version.rpartition("/")[0]:
        return "apiVersion must specify API group"
    return ""


def _metric(metric: JsonObject, path: str, allowed: _Allowed) -> list[Cause]:
    causes: list[Cause] = []
    kind = metric.get("type", "")
    if not kind:
        causes.append(required(f"{path}.type", "must specify a metric source type"))
    if kind not in _SOURCES:
        causes += [not_supported(f"{path}.type", kind, _SOURCES)] * 2
    present = [name for name in _ORDER if metric.get(name) is not None]
    if present:
        first = present[0]
        causes += _source(first, metric[first], f"{path}.{first}", allowed)
    expected = _SOURCES.get(kind, "")
    if expected and metric.get(expected) is None:
        detail = "must populate information for the given metric source"
        causes.append(required(f"{path}.{expected}", detail))
    if len(present) != 1:
        causes += [
            forbidden(f"{path}.{name}", "must populate the given metric source only")
            for name in present
            if name != expected
        ]
    return causes


_ORDER = ("object", "external", "pods", "resource", "containerResource")
"""The order in which the sources of a metric are looked at; only the first is judged."""


def _source(kind: str, source: JsonObject, path: str, allowed: _Allowed) -> list[Cause]:
    causes: list[Cause] = []
    if kind == "object":
        described = source.get("describedObject") or {}
        at = f"{path}.describedObject"
        causes += _reference(described, at, True, skip=allowed.any_object_version)
    if kind in ("object", "external", "pods"):
        metric = source.get("metric") or {}
        causes += segment(metric, "name", f"{path}.metric", "must specify a metric name")
    elif not source.get("name"):
        causes.append(required(f"{path}.name", "must specify a resource name"))
    elif kind == "containerResource":
        causes += resource_name(source["name"], f"{path}.name")
    if kind == "containerResource":
        container = source.get("container", "")
        if not container:
            causes.append(required(f"{path}.container", "must specify a container"))
        else:
            causes += invalid_each(f"{path}.container", container, names.dns_label(container))
    target = source.get("target") or {}
    return causes + _target(target, f"{path}.target") + _amounts(kind, target, f"{path}.target")


def _target(target: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    kind = target.get("type", "")
    if not kind:
        causes.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        detail = "must be either Utilization, Value, or AverageValue"
        causes.append(invalid(f"{path}.type", kind, detail))
    causes += [
        invalid(f"{path}.{name}", target[name], "must be positive")
        for name in ("value", "averageValue")
        if target.get(name) is not None and not _is_positive(target[name])
    ]
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        at = f"{path}.averageUtilization"
        causes.append(invalid(at, utilization, "must be greater than 0"))
    return causes


def _is_positive(amount: JsonValue) -> bool:
    return quantity.parse(amount).fraction() > 0


def _amounts(kind: str, target: JsonObject, path: str) -> list[Cause]:
    """Which of value, averageValue and averageUtilization a source of this kind wants."""
    value, average, percent = (
        target.get(name) is not None for name in ("value", "averageValue", "averageUtilization")
    )
    if kind == "pods":
        detail = "must specify a positive target averageValue"
        return [] if average else [required(f"{path}.averageValue", detail)]
    if kind == "object":
        detail = "must set either a target value or averageValue"
        return [] if value or average else [required(f"{path}.averageValue", detail)]
    if kind == "external":
        if value and average:
            detail = "may not set both a target value for metric and a per-pod target"
            return [forbidden(f"{path}.value", detail)]
        detail = "must set either a target value for metric or a per-pod target"
        return [] if value or average else [required(f"{path}.averageValue", detail)]
    if percent and average:
        return [forbidden(f"{path}.averageValue", _NOT_BOTH)]
    return [] if percent or average else [required(f"{path}.averageUtilization", _ONE_TARGET)]


def _scaling_rules(rules: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    window_s = rules.get("stabilizationWindowSeconds")
    at = f"{path}.stabilizationWindowSeconds"
    if window_s is not None and window_s < 0:
        causes.append(invalid(at, window_s, "must be greater than or equal to zero"))
    if window_s is not None and window_s > _MAX_STABILIZATION_S:
        detail = f"must be less than or equal to {_MAX_STABILIZATION_S}"
        causes.append(invalid(at, window_s, detail))
    if rules.get("selectPolicy") is not None:
        supported = ("Disabled", "Max", "Min")
        causes += one_of(rules["selectPolicy"], supported, f"{path}.selectPolicy")
    if not rules.get("policies"):
        causes.append(required(f"{path}.policies", "must specify at least one Policy"))
    for item_path, policy in each(rules.get("policies"), f"{path}.policies"):
        causes += _scaling_policy(policy, item_path)
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance).fraction() < 0:
        detail = "must be greater than or equal to 0"
        causes.append(invalid(f"{path}.tolerance", tolerance, detail))
    return causes


def _scaling_policy(policy: JsonObject, path: str) -> list[Cause]:
    causes = one_of(policy.get("type", ""), ("Percent", "Pods"), f"{path}.type")
    value, period_s = policy.get("value", 0), policy.get("periodSeconds", 0)
    if value <= 0:
        causes.append(invalid(f"{path}.value", value, "must be greater than zero"))
    if period_s <= 0:
        causes.append(invalid(f"{path}.periodSeconds", period_s, "must be greater than zero"))
    if period_s > _MAX_PERIOD_S:
        detail = f"must be less than or equal to {_MAX_PERIOD_S}"
        causes.append(invalid(f"{path}.periodSeconds", period_s, detail))
    return causes


RULES = {
    "horizontalpodautoscalers.autoscaling": Rules(
        create_autoscaler, update_autoscaler, {"status": update_autoscaler_status}
    ),
}
