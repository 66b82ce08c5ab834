"""Which pods count for a workload (pkg/controller/controller_utils.go). Pure.

Invariant: no pod is both active and terminating; one that has ended is neither.
"""

from collections.abc import Iterable

from kubeherd.cluster.api.helpers.podutil import (
    AgeOf,
    is_active,
    is_terminal,
    is_terminating,
    ready_condition,
)
from kubeherd.cluster.api.objects import Pod


def active_pods(pods: Iterable[Pod]) -> list[Pod]:
    """Those that run or will: neither ended nor being deleted."""
    return [pod for pod in pods if is_active(pod)]


def terminating_pods(pods: Iterable[Pod]) -> list[Pod]:
    """Those that are being deleted and have not ended yet."""
    return [pod for pod in pods if is_terminating(pod) and not is_terminal(pod)]


def until_available_s(pod: Pod, min_ready_s: float, age_s: AgeOf) -> float | None:
    """Nominal seconds until the pod is available if its status stays as it is: 0 if it is now,
    None if it will not be."""
    condition = ready_condition(pod)
    if condition is None:
        return None
    if min_ready_s <= 0:
        return 0.0
    since = condition.last_transition_time
    return max(0.0, min_ready_s - age_s(since)) if since else None
