"""The status of a PodDisruptionBudget: how many of its pods may be evicted now.

Pure. Invariant: an eviction that was granted counts against the budget until its pod is gone or
`DELETION_TIMEOUT_S` has passed.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from kubeherd.cluster.api import intstr
from kubeherd.cluster.api.helpers.podutil import is_ready, is_terminal, is_terminating
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import OwnerReference, Pod
from kubeherd.controller.disruption.objects import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)

DELETION_TIMEOUT_S = 120.0
"""How long an eviction that was granted, but whose pod is not terminating, is believed."""
STALE_TARGET_S = 120.0
"""How long a pod may be the target of a disruption without being deleted."""
TARGET = "DisruptionTarget"
ALLOWED = "DisruptionAllowed"
AgeOf = Callable[[str], float]


class SyncFailed(Exception):
    """The status cannot be computed; the text says why."""


class Expected(msgspec.Struct, frozen=True):
    """How many pods there should be, and how many of them healthy."""

    pods: int
    healthy: int


class Counts(msgspec.Struct, frozen=True):
    """The numbers of a budget's status."""

    expected_pods: int
    current_healthy: int
    desired_healthy: int
    disruptions_allowed: int
    disrupted: Mapping[str, str]
    given_up: Sequence[Pod]
    """Pods whose eviction was granted, and which nobody deleted."""
    recheck_s: float | None
    """When a granted eviction will no longer be believed; None without any."""


def needs_scale(spec: PodDisruptionBudgetSpec) -> bool:
    """Whether what the pods' controllers want counts, not only what pods there are."""
    return spec.max_unavailable is not None or isinstance(spec.min_available, str)


def unmanaged(pods: Sequence[Pod]) -> list[str]:
    """Names of the pods without a controller: of these nobody knows how many there should be."""
    return [pod.metadata.name for pod in pods if pod.metadata.controller() is None]


def owners(pods: Sequence[Pod]) -> dict[str, tuple[OwnerReference, str]]:
    """The controllers of the pods by UID, each with the name of the first pod that it has."""
    found: dict[str, tuple[OwnerReference, str]] = {}
    for pod in pods:
        owner = pod.metadata.controller()
        if owner is not None:
            found.setdefault(owner.uid, (owner, pod.metadata.name))
    return found


def expected(spec: PodDisruptionBudgetSpec, pods: int, scale: int) -> Expected:
    """What a budget of so many `pods` wants, whose controllers want `scale`; SyncFailed."""
    try:
        if spec.max_unavailable is not None:
            return Expected(scale, max(0, scale - intstr.scaled(spec.max_unavailable, scale)))
        if isinstance(spec.min_available, str):
            return Expected(scale, intstr.scaled(spec.min_available, scale))
    except intstr.InvalidNumber as error:
        raise SyncFailed(str(error)) from None
    if spec.min_available is not None:
        return Expected(pods, spec.min_available)
    return Expected(0, 0)


def count(
    status: PodDisruptionBudgetStatus, pods: Sequence[Pod], wanted: Expected, age_s: AgeOf
) -> Counts:
    """Count a budget's pods (all that match, in its namespace); ages are nominal seconds."""
    disrupted: dict[str, str] = {}
    given_up = []
    recheck_s: float | None = None
    for pod in pods:
        since = status.disrupted_pods.get(pod.metadata.name)
        if since is None or is_terminating(pod):
            continue
        left_s = DELETION_TIMEOUT_S - age_s(since)
        if left_s <= 0:
            given_up.append(pod)
            continue
        disrupted[pod.metadata.name] = since
        recheck_s = left_s if recheck_s is None else min(recheck_s, left_s)
    healthy = sum(
        is_ready(pod) and not is_terminating(pod) and pod.metadata.name not in disrupted
        for pod in pods
    )
    allowed = max(0, healthy - wanted.healthy) if wanted.pods > 0 else 0
    return Counts(wanted.pods, healthy, wanted.healthy, allowed, disrupted, given_up, recheck_s)


def status(budget: PodDisruptionBudget, counts: Counts, now: str) -> JsonObject | None:
    """The status to write; None if nothing changed. ``now`` is RFC 3339."""
    old = budget.status
    generation = budget.metadata.generation
    allowed = counts.disruptions_allowed > 0
    wanted = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    condition = _condition(old.conditions)
    if (
        old.observed_generation == generation
        and old.expected_pods == counts.expected_pods
        and old.current_healthy == counts.current_healthy
        and old.desired_healthy == counts.desired_healthy
        and old.disruptions_allowed == counts.disruptions_allowed
        and dict(old.disrupted_pods) == dict(counts.disrupted)
        and (condition.get("status"), condition.get("reason")) == wanted
    ):
        return None
    out: JsonObject = {
        "observedGeneration": generation,
        "disruptionsAllowed": counts.disruptions_allowed,
        "currentHealthy": counts.current_healthy,
        "desiredHealthy": counts.desired_healthy,
        "expectedPods": counts.expected_pods,
        "conditions": with_condition(old.conditions, *wanted, "", generation, now),
    }
    if counts.disrupted:
        out["disruptedPods"] = dict(counts.disrupted)
    return out


def failed_status(budget: PodDisruptionBudget, problem: str, now: str) -> JsonObject | None:
    """The status of a budget whose numbers are not known: nothing may be evicted. None: it is so
    already."""
    old = budget.status
    conditions = with_condition(
        old.conditions, "False", "SyncFailed", problem, old.observed_generation, now
    )
    if old.disruptions_allowed == 0 and old.conditions == conditions:
        return None
    return {**msgspec.to_builtins(old), "disruptionsAllowed": 0, "conditions": conditions}


def with_condition(
    present: Sequence[JsonObject], status: str, reason: str, message: str, generation: int, now: str
) -> list[JsonObject]:
    """The conditions with this one; its transition time changes with its status."""
    old = _condition(present)
    same = old.get("status") == status
    new = {
        "type": ALLOWED,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": old.get("lastTransitionTime", now) if same else now,
        "reason": reason,
        "message": message,
    }
    others = [one for one in present if one.get("type") != ALLOWED]
    return [*others, new]


def _condition(present: Sequence[JsonObject]) -> JsonObject:
    return next((one for one in present if one.get("type") == ALLOWED), {})


def stale_target_s(pod: Pod, age_s: AgeOf) -> float | None:
    """Seconds until a pod that was to be disrupted is not believed to be any more; None: it is not
    the target of a disruption, or is on its way."""
    condition = pod.status.condition(TARGET)
    if (
        condition is None
        or condition.status != "True"
        or condition.reason == "TerminationByKubelet"
        or is_terminating(pod)
        or is_terminal(pod)
    ):
        return None
    since = condition.last_transition_time
    return max(0.0, STALE_TARGET_S - age_s(since)) if since is not None else 0.0
