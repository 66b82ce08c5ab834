"""maxUnavailable and maxSurge as numbers of pods (spec section 8.1).

Invariant: percentages are rounded up, for both; a RollingUpdate over at least one node can always
go on (0 and 0 mean one pod unavailable).
"""

from kubeherd.cluster.api.intstr import InvalidNumber, scaled
from kubeherd.cluster.api.objects import DaemonSet

ROLLING_UPDATE = "RollingUpdate"


def surge_and_unavailable(daemonset: DaemonSet, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) for this number of desired pods."""
    strategy = daemonset.spec.update_strategy
    if strategy.type != ROLLING_UPDATE or strategy.rolling_update is None:
        return 0, 0
    surge = scaled(strategy.rolling_update.max_surge, desired)
    unavailable = scaled(strategy.rolling_update.max_unavailable, desired)
    if desired > 0 and surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def allows_surge(daemonset: DaemonSet) -> bool:
    """Whether two pods may be on a node while it is updated; an unreadable number means no."""
    try:
        return surge_and_unavailable(daemonset, 1)[0] > 0
    except InvalidNumber:
        return False
