"""How many pods a rollout may add and take away (section 5).

Invariant: a rolling update may always do something: surge and unavailability are never both zero.
"""

from kubeherd.cluster.api import intstr
from kubeherd.controller.workload.apps import Deployment

ROLLING_UPDATE = "RollingUpdate"
RECREATE = "Recreate"
NO_LIMIT = 2**31 - 1
"""What stands for "for ever" in progressDeadlineSeconds and revisionHistoryLimit."""


def desired(deployment: Deployment) -> int:
    """``spec.replicas``; 1 if it is not there."""
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def is_rolling(deployment: Deployment) -> bool:
    """Whether the strategy is RollingUpdate."""
    return deployment.spec.strategy.type == ROLLING_UPDATE


def fenceposts(
    surge: int | str | None, unavailable: int | str | None, replicas: int
) -> tuple[int, int]:
    """maxSurge (rounded up) and maxUnavailable (rounded down) in pods; 0 and 0 count as 0 and 1.

    InvalidNumber if one is neither a number nor a percentage.
    """
    most = intstr.scaled(surge, replicas)
    away = intstr.scaled(unavailable, replicas, round_up=False)
    return (most, away) if most or away else (0, 1)


def max_surge(deployment: Deployment) -> int:
    """How many pods beyond the desired ones there may be."""
    return _resolved(deployment)[0]


def max_unavailable(deployment: Deployment) -> int:
    """How many of the desired pods may be away."""
    replicas = desired(deployment)
    return min(_resolved(deployment)[1], replicas)


def min_available(deployment: Deployment) -> int:
    """How many pods a rolling update leaves available; 0 of any other strategy."""
    return desired(deployment) - max_unavailable(deployment) if is_rolling(deployment) else 0


def max_replicas(deployment: Deployment) -> int:
    """How many pods there may be during a rollout."""
    return desired(deployment) + max_surge(deployment)


def has_progress_deadline(deployment: Deployment) -> bool:
    """Whether a rollout that stands still is reported."""
    return deployment.spec.progress_deadline_seconds not in (None, NO_LIMIT)


def _resolved(deployment: Deployment) -> tuple[int, int]:
    if not is_rolling(deployment):
        return 0, 0
    rolling = deployment.spec.strategy.rolling_update
    if rolling is None:
        return 0, 1
    return fenceposts(rolling.max_surge, rolling.max_unavailable, desired(deployment))
