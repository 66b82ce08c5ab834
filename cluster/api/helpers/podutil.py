"""Questions about a pod that controllers, scheduler and agents must answer alike.

Source: spec daemonset-controller 8.1. Invariant: pure; whoever asks brings the clock as a function
from a timestamp to its age in nominal seconds (`cluster.runtime.clock.Clock.age_s`).
"""

from collections.abc import Callable

from kubeherd.cluster.api.objects import Condition, Pod

AgeOf = Callable[[str], float]
"""Nominal seconds since an RFC 3339 timestamp."""


def ready_condition(pod: Pod) -> Condition | None:
    """The Ready condition if it is True, else None."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition if condition.status == "True" else None
    return None


def is_ready(pod: Pod) -> bool:
    """Whether the Ready condition is True."""
    return ready_condition(pod) is not None


def is_available(pod: Pod, min_ready_s: float, age_s: AgeOf) -> bool:
    """Whether the pod has been Ready for at least `min_ready_s` (0: Ready is enough)."""
    condition = ready_condition(pod)
    if condition is None:
        return False
    if min_ready_s <= 0:
        return True
    since = condition.last_transition_time
    return since is not None and age_s(since) >= min_ready_s


def is_terminal(pod: Pod) -> bool:
    """Whether the pod has ended: phase Succeeded or Failed."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_terminating(pod: Pod) -> bool:
    """Whether deletion of the pod has been asked for."""
    return pod.metadata.deletion_timestamp is not None


def is_active(pod: Pod) -> bool:
    """Neither ended nor being deleted."""
    return not is_terminal(pod) and not is_terminating(pod)
