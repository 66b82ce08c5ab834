"""The status of a PodDisruptionBudget: how many of its pods may be evicted now.

Pure. Without controllers that scale (ReplicaSets, StatefulSets) the expected number of pods is the
number of pods that match, which is what Kubernetes takes for ``minAvailable`` as a number.
Invariant: an eviction that was granted counts against the budget until its pod is gone or
`DELETION_TIMEOUT_S` has passed.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from kubeherd.cluster.api import intstr
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.disruption.objects import PodDisruptionBudget, PodDisruptionBudgetSpec

DELETION_TIMEOUT_S = 120.0
"""How long an eviction that was granted, but whose pod is not terminating, is believed."""
AgeOf = Callable[[str], float]


class Counts(msgspec.Struct, frozen=True):
    """The numbers of a budget's status."""

    expected_pods: int
    current_healthy: int
    desired_healthy: int
    disruptions_allowed: int
    disrupted: Mapping[str, str]
    recheck_s: float | None
    """When a granted eviction will no longer be believed; None without any."""


def count(budget: PodDisruptionBudget, pods: Sequence[Pod], age_s: AgeOf) -> Counts:
    """Count a budget's pods (all that match, in its namespace); ages are nominal seconds."""
    pods = [pod for pod in pods if not pod.terminal]
    expected = len(pods)
    desired = _desired_healthy(budget.spec, expected)
    by_name = {pod.metadata.name: pod for pod in pods}
    disrupted: dict[str, str] = {}
    recheck_s: float | None = None
    for name, since in budget.status.disrupted_pods.items():
        pod = by_name.get(name)
        left_s = DELETION_TIMEOUT_S - age_s(since)
        if pod is None or pod.metadata.deletion_timestamp is not None or left_s <= 0:
            continue
        disrupted[name] = since
        recheck_s = left_s if recheck_s is None else min(recheck_s, left_s)
    healthy = sum(
        pod.ready and pod.metadata.deletion_timestamp is None and pod.metadata.name not in disrupted
        for pod in pods
    )
    allowed = max(0, healthy - desired) if expected else 0
    return Counts(expected, healthy, desired, allowed, disrupted, recheck_s)


def _desired_healthy(spec: PodDisruptionBudgetSpec, expected: int) -> int:
    if spec.max_unavailable is not None:
        return max(0, expected - _scaled(spec.max_unavailable, expected))
    if spec.min_available is not None:
        return _scaled(spec.min_available, expected)
    return 0


def _scaled(value: int | str, total: int) -> int:
    """A number, or a percentage of ``total`` rounded up; 0 for what is neither."""
    try:
        return intstr.scaled(value, total)
    except intstr.InvalidNumber:
        return 0


def status(budget: PodDisruptionBudget, counts: Counts, now: str) -> JsonObject | None:
    """The status to write; None if nothing changed. ``now`` is RFC 3339."""
    old = budget.status
    generation = budget.metadata.generation
    same = (
        old.observed_generation == generation
        and old.expected_pods == counts.expected_pods
        and old.current_healthy == counts.current_healthy
        and old.desired_healthy == counts.desired_healthy
        and old.disruptions_allowed == counts.disruptions_allowed
        and dict(old.disrupted_pods) == dict(counts.disrupted)
    )
    if same and old.conditions:
        return None
    out: JsonObject = {
        "observedGeneration": generation,
        "disruptionsAllowed": counts.disruptions_allowed,
        "currentHealthy": counts.current_healthy,
        "desiredHealthy": counts.desired_healthy,
        "expectedPods": counts.expected_pods,
        "conditions": [_condition(old.conditions, counts.disruptions_allowed, generation, now)],
    }
    if counts.disrupted:
        out["disruptedPods"] = dict(counts.disrupted)
    return out


def _condition(
    present: Sequence[JsonObject], allowed: int, generation: int, now: str
) -> JsonObject:
    wanted = "True" if allowed > 0 else "False"
    old = next((c for c in present if c.get("type") == "DisruptionAllowed"), {})
    return {
        "type": "DisruptionAllowed",
        "status": wanted,
        "observedGeneration": generation,
        "lastTransitionTime": old.get("lastTransitionTime", now)
        if old.get("status") == wanted
        else now,
        "reason": "SufficientPods" if allowed > 0 else "InsufficientPods",
        "message": "",
    }
