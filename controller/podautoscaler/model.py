"""Typed views of a HorizontalPodAutoscaler (autoscaling/v2)."""

from enum import StrEnum

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import LabelSelector, ObjectMeta, Wire


class MetricType(StrEnum):
    RESOURCE = "Resource"
    CONTAINER_RESOURCE = "ContainerResource"
    PODS = "Pods"
    OBJECT = "Object"
    EXTERNAL = "External"


class TargetType(StrEnum):
    VALUE = "Value"
    AVERAGE_VALUE = "AverageValue"


class SelectPolicy(StrEnum):
    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class PolicyType(StrEnum):
    PODS = "Pods"
    PERCENT = "Percent"


class ObjectReference(Wire, frozen=True, kw_only=True):
    """Any object of the autoscaler's namespace."""

    api_version: str = ""
    kind: str = ""
    name: str = ""


class MetricIdentifier(Wire, frozen=True, kw_only=True):
    name: str = ""
    selector: LabelSelector | None = None


class MetricTarget(Wire, frozen=True, kw_only=True):
    """Values are quantities."""

    type: str = ""
    value: str | int | float | None = None
    average_value: str | int | float | None = None
    average_utilization: int | None = None


class ResourceMetric(Wire, frozen=True, kw_only=True):
    """Of all containers, or of those called `container`."""

    name: str = ""
    container: str = ""
    target: MetricTarget = msgspec.field(default_factory=MetricTarget)


class NamedMetric(Wire, frozen=True, kw_only=True):
    """A metric of pods, of an object (`described_object`), or from outside of the cluster."""

    metric: MetricIdentifier = msgspec.field(default_factory=MetricIdentifier)
    target: MetricTarget = msgspec.field(default_factory=MetricTarget)
    described_object: ObjectReference | None = None


class MetricSpec(Wire, frozen=True, kw_only=True):
    """One of the five, as `type` says."""

    type: str = ""
    resource: ResourceMetric = msgspec.field(default_factory=ResourceMetric)
    container_resource: ResourceMetric = msgspec.field(default_factory=ResourceMetric)
    pods: NamedMetric = msgspec.field(default_factory=NamedMetric)
    object: NamedMetric = msgspec.field(default_factory=NamedMetric)
    external: NamedMetric = msgspec.field(default_factory=NamedMetric)


class ScalingPolicy(Wire, frozen=True, kw_only=True):
    type: str = ""
    value: int = 0
    period_seconds: int = 0


class ScalingRules(Wire, frozen=True, kw_only=True):
    stabilization_window_seconds: int | None = None
    select_policy: str = SelectPolicy.MAX.value
    policies: list[ScalingPolicy] = msgspec.field(default_factory=list)
    tolerance: str | int | float | None = None


class Behavior(Wire, frozen=True, kw_only=True):
    scale_up: ScalingRules = msgspec.field(default_factory=ScalingRules)
    scale_down: ScalingRules = msgspec.field(default_factory=ScalingRules)


class AutoscalerSpec(Wire, frozen=True, kw_only=True):
    scale_target_ref: ObjectReference = msgspec.field(default_factory=ObjectReference)
    min_replicas: int = 1
    max_replicas: int = 0
    metrics: list[MetricSpec] = msgspec.field(default_factory=list)
    behavior: Behavior | None = None


class AutoscalerStatus(Wire, frozen=True, kw_only=True):
    """Without metrics Kubernetes writes null."""

    last_scale_time: str | None = None
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: list[JsonObject] | None = None
    conditions: list[JsonObject] = msgspec.field(default_factory=list)


class Autoscaler(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: AutoscalerSpec = msgspec.field(default_factory=AutoscalerSpec)
    status: AutoscalerStatus = msgspec.field(default_factory=AutoscalerStatus)
