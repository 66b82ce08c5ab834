"""The columns of horizontal pod autoscalers and of scales."""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    Column,
    Printer,
    age,
    items,
    member,
    name_of,
)

_MAX_SHOWN = 2
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _current(metric: JsonObject, target: JsonObject) -> str:
    current = member(metric, "current")
    if target.get("averageUtilization") is not None:
        value = current.get("averageUtilization")
        return UNKNOWN if value is None else f"{value}%"
    for name in ("averageValue", "value"):
        if current.get(name) is not None:
            return str(current[name])
    return UNKNOWN


def _wanted(target: JsonObject) -> str:
    if target.get("averageUtilization") is not None:
        return f"{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        return (
            f"{target['averageValue']} (avg)"
            if target.get("type") != "AverageValue"
            else str(target["averageValue"])
        )
    return str(target.get("value") or UNSET)


def _targets(tree: JsonObject) -> str:
    """``cpu: 10%/50%`` for every metric; at most two."""
    found = items(member(tree, "status"), "currentMetrics")
    shown = []
    metrics = items(member(tree, "spec"), "metrics")
    for index, metric in enumerate(metrics[:_MAX_SHOWN]):
        source = _SOURCES.get(metric.get("type", ""), "")
        wanted = member(metric, source)
        current = member(found[index], source) if index < len(found) else {}
        target = member(wanted, "target")
        text = f"{_current(current, target)}/{_wanted(target)}"
        name = wanted.get("name") or ""
        if metric.get("type") == "ContainerResource":
            name = f"{name} (container: {wanted.get('container')})"
        shown.append(f"{name}: {text}" if name else text)
    if len(metrics) > _MAX_SHOWN:
        return f"{', '.join(shown)} + {len(metrics) - _MAX_SHOWN} more..."
    return ", ".join(shown) or NONE


def _legacy_targets(tree: JsonObject) -> str:
    wanted = member(tree, "spec").get("targetCPUUtilizationPercentage")
    current = member(tree, "status").get("currentCPUUtilizationPercentage")
    if wanted is None:
        return NONE
    return f"cpu: {UNKNOWN if current is None else f'{current}%'}/{wanted}%"


def _autoscaler(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    ref = member(spec, "scaleTargetRef")
    legacy = tree.get("apiVersion") == "autoscaling/v1"
    least = spec.get("minReplicas")
    return [
        name_of(tree),
        f"{ref.get('kind')}/{ref.get('name')}",
        _legacy_targets(tree) if legacy else _targets(tree),
        UNSET if least is None else str(least),
        spec.get("maxReplicas") or 0,
        member(tree, "status").get("currentReplicas") or 0,
        age(tree, now),
    ]


HORIZONTAL_POD_AUTOSCALERS = Printer(
    (
        NAME,
        Column("Reference"),
        Column("Targets"),
        Column("MinPods"),
        Column("MaxPods"),
        Column("Replicas"),
        AGE,
    ),
    _autoscaler,
)


def _scale(tree: JsonObject, now: datetime) -> list[Cell]:
    replicas = member(tree, "spec").get("replicas") or 0
    return [name_of(tree), replicas, member(tree, "status").get("replicas") or 0, age(tree, now)]


SCALES = Printer(
    (Column("Name"), Column("Desired", "integer"), Column("Available", "integer"), AGE), _scale
)
