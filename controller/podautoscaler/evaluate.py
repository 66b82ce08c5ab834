"""What each metric of an autoscaler asks for, its status, and what goes wrong with it. Pure.

Source: Kubernetes v1.36, pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetric).
"""

from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.quantity import Family, Quantity
from kubeherd.controller.podautoscaler import calculator, metrics
from kubeherd.controller.podautoscaler.calculator import (
    AgeOf,
    NoReplicas,
    PodsTarget,
    Proposal,
    Tolerances,
)
from kubeherd.controller.podautoscaler.model import (
    Autoscaler,
    MetricSpec,
    MetricType,
    NamedMetric,
    ResourceMetric,
    TargetType,
)
from kubeherd.controller.workload.selectortext import go_text

TOLERANCE = 0.1
_MILLI_NANOS = 10**6


class MetricFailed(Exception):
    """A metric asks for nothing: `reason` and `problem` go into the condition and the event, the
    text of the exception into what the whole look at the autoscaler ends with."""

    def __init__(self, reason: str, problem: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.problem = problem


class View(msgspec.Struct, frozen=True):
    """What metrics are computed from: `wanted` replicas of the target, `present` ones, the pods
    of its selector, and what metrics.k8s.io says of them, or why it says nothing."""

    wanted: int
    present: int
    pods: Sequence[Pod]
    used: Sequence[JsonObject]
    unused: str
    age_s: AgeOf


class Asked(msgspec.Struct, frozen=True):
    """What a metric asks for; `name`: what it is called in events."""

    replicas: int
    name: str
    status: JsonObject


def evaluate(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    """What one metric asks for; MetricFailed."""
    evaluators: dict[str, Callable[[MetricSpec, Autoscaler, View], Asked]] = {
        MetricType.RESOURCE: _resource,
        MetricType.CONTAINER_RESOURCE: _container_resource,
        MetricType.PODS: _pods,
        MetricType.OBJECT: _object,
        MetricType.EXTERNAL: _external,
    }
    evaluator = evaluators.get(spec.type)
    if evaluator is None:
        text = f'unknown metric source type "{spec.type}"'
        raise MetricFailed("InvalidMetricSourceType", text, text)
    return evaluator(spec, autoscaler, view)


def tolerances(autoscaler: Autoscaler) -> Tolerances:
    """Those of the behavior, else a tenth."""
    behavior = autoscaler.spec.behavior
    if behavior is None:
        return Tolerances(TOLERANCE, TOLERANCE)
    down, up = behavior.scale_down.tolerance, behavior.scale_up.tolerance
    return Tolerances(_share(down), _share(up))


def _share(given: str | int | float | None) -> float:
    return TOLERANCE if given is None else float(quantity.parse(given).fraction())


def _milli(given: str | int | float | None) -> int:
    return quantity.parse(given or 0).milli_value()


def _shown(milli: int, resource: str = "") -> str:
    family = Family.BINARY_SI if resource == "memory" else Family.DECIMAL_SI
    return Quantity(milli * _MILLI_NANOS, family).canonical()


# --- resources ---


def _resource(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    source = spec.resource
    try:
        proposal, current = _of_resource(source, autoscaler, view)
    except NoReplicas as error:
        text = f"failed to get {source.name} resource metric value: {error}"
        raise MetricFailed("FailedGetResourceMetric", str(error), text) from None
    status = {"type": spec.type, "resource": {"name": source.name, "current": current}}
    return Asked(proposal.replicas, _resource_name(source), status)


def _container_resource(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    source = spec.container_resource
    try:
        proposal, current = _of_resource(source, autoscaler, view)
    except NoReplicas as error:
        text = f"failed to get {source.container} container metric value: {error}"
        raise MetricFailed("FailedGetContainerResourceMetric", str(error), text) from None
    own = {"name": source.name, "container": source.container, "current": current}
    return Asked(
        proposal.replicas, _resource_name(source), {"type": spec.type, "containerResource": own}
    )


def _resource_name(source: ResourceMetric) -> str:
    if source.target.average_value is not None:
        return f"{source.name} resource"
    what = "container resource" if source.container else "resource"
    return f"{source.name} {what} utilization (percentage of request)"


def _of_resource(
    source: ResourceMetric, autoscaler: Autoscaler, view: View
) -> tuple[Proposal, JsonObject]:
    """What the use of a resource asks for, and ``current`` of its status; NoReplicas."""
    wanted = source.target
    if wanted.average_value is not None:
        target = PodsTarget(source.name, average=_milli(wanted.average_value))
        what = "usage"
    elif wanted.average_utilization is not None:
        percent = wanted.average_utilization
        target = PodsTarget(source.name, percent=percent, container=source.container)
        what = "utilization"
    else:
        raise NoReplicas(
            "invalid resource metric source: neither an average utilization target nor an average "
            "value (usage) target was set"
        )
    try:
        if view.unused:
            raise NoReplicas(f"unable to get metrics for resource {source.name}: {view.unused}")
        values = metrics.used(view.used, source.name, source.container, view.age_s)
        proposal = calculator.of_pods(
            view.wanted, target, view.pods, values, tolerances(autoscaler), view.age_s
        )
    except NoReplicas as error:
        raise NoReplicas(f"failed to get {source.name} {what}: {error}") from None
    current: JsonObject = {"averageValue": _shown(proposal.usage, source.name)}
    if target.percent:
        current["averageUtilization"] = proposal.percent
    return proposal, current


# --- what annotations say ---


def _pods(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    source, name = spec.pods, spec.pods.metric.name
    values = metrics.of_pods(view.pods, name, autoscaler.metadata.annotations)
    target = PodsTarget("", average=_milli(source.target.average_value))
    try:
        if not values:
            raise NoReplicas(f"unable to get metric {name}: {metrics.NO_CUSTOM}")
        proposal = calculator.of_pods(
            view.wanted, target, view.pods, values, tolerances(autoscaler), view.age_s
        )
    except NoReplicas as error:
        text = f"failed to get pods metric value: {error}"
        raise MetricFailed("FailedGetPodsMetric", str(error), text) from None
    current = {"averageValue": _shown(proposal.usage)}
    status = {"type": spec.type, "pods": {"metric": _identity(source), "current": current}}
    return Asked(proposal.replicas, f"pods metric {name}", status)


def _object(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    source, name, about = spec.object, spec.object.metric.name, spec.object.described_object
    kind, called = (about.kind, about.name) if about is not None else ("", "")
    averaged = source.target.type != TargetType.VALUE
    try:
        value = metrics.annotated(autoscaler.metadata.annotations, name)
        if value is None:
            where = f"{kind} {autoscaler.metadata.namespace}/{called}"
            raise NoReplicas(f"unable to get metric {name}: {metrics.NO_CUSTOM} on {where}")
        proposal, current = _of_value(source, value, autoscaler, view)
    except NoReplicas as error:
        wrapped = f"failed to get {name} object metric: {error}" if averaged else str(error)
        text = f"failed to get object metric value: {wrapped}"
        raise MetricFailed("FailedGetObjectMetric", str(error), text) from None
    described = msgspec.to_builtins(about) if about is not None else {}
    own = {"describedObject": described, "metric": _identity(source), "current": current}
    called = f"{kind} metric {name}" if not averaged else _external_name(source)
    return Asked(proposal.replicas, called, {"type": spec.type, "object": own})


def _external(spec: MetricSpec, autoscaler: Autoscaler, view: View) -> Asked:
    source, name = spec.external, spec.external.metric.name
    averaged = source.target.average_value is not None
    try:
        value = metrics.annotated(autoscaler.metadata.annotations, name)
        if value is None:
            which = f"{autoscaler.metadata.namespace}/{name}/{go_text(source.metric.selector)}"
            problem = metrics.no_external(name)
            raise NoReplicas(f"unable to get external metric {which}: {problem}")
        proposal, current = _of_value(source, value, autoscaler, view)
    except NoReplicas as error:
        what = f"{name} external metric" if averaged else f"external metric {name}"
        text = f"failed to get {name} external metric value: failed to get {what}: {error}"
        raise MetricFailed("FailedGetExternalMetric", str(error), text) from None
    own = {"metric": _identity(source), "current": current}
    status = {"type": spec.type, "external": own}
    return Asked(proposal.replicas, _external_name(source), status)


def _of_value(
    source: NamedMetric, value: int, autoscaler: Autoscaler, view: View
) -> tuple[Proposal, JsonObject]:
    """What one value asks for, and ``current`` of its status; NoReplicas."""
    allowed, target = tolerances(autoscaler), source.target
    if target.average_value is not None:
        wanted = _milli(target.average_value)
        proposal = calculator.of_average(view.present, value, wanted, allowed)
        return proposal, {"averageValue": _shown(proposal.usage)}
    wanted = _milli(target.value)
    proposal = calculator.of_value(view.wanted, value, wanted, view.pods, allowed)
    return proposal, {"value": _shown(proposal.usage)}


def _identity(source: NamedMetric) -> JsonObject:
    shown: JsonObject = msgspec.to_builtins(source.metric)
    return shown


def _external_name(source: NamedMetric) -> str:
    return f"external metric {source.metric.name}({go_text(source.metric.selector)})"
