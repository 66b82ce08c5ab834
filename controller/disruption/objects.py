"""The typed view of a PodDisruptionBudget (policy/v1)."""

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import LabelSelector, ObjectMeta, Wire


class PodDisruptionBudgetSpec(Wire, frozen=True, kw_only=True):
    """Exactly one of ``min_available`` and ``max_unavailable`` is set; percentages are strings."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None


class PodDisruptionBudgetStatus(Wire, frozen=True, kw_only=True):
    observed_generation: int = 0
    disrupted_pods: dict[str, str] = msgspec.field(default_factory=dict)
    """Pods whose eviction was granted and which are not gone yet: name to time."""
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: list[JsonObject] = msgspec.field(default_factory=list)


class PodDisruptionBudget(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodDisruptionBudgetSpec = msgspec.field(default_factory=PodDisruptionBudgetSpec)
    status: PodDisruptionBudgetStatus = msgspec.field(default_factory=PodDisruptionBudgetStatus)
