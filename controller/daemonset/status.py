"""The status of a DaemonSet (spec section 10).

Invariants: desired = available + unavailable; current, ready and updated never exceed desired;
available never exceeds ready. Conditions and collisionCount are left as they are.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import DaemonSetStatus
from kubeherd.controller.daemonset.model import StatusNumbers
from kubeherd.controller.daemonset.placement import Placement

WRITE_INTERVAL_S = 0.2
"""How often the status is written while nothing but numbers change."""
_SOON_S = 0.01
"""Queues hand out what is due a little early; nobody waits again for such a rest."""


def differs(status: DaemonSetStatus, generation: int, numbers: StatusNumbers) -> bool:
    """Whether the status has to be written: a number differs, or the generation is newer."""
    return (
        status.observed_generation < generation
        or numbers
        != StatusNumbers(
            desired=status.desired_number_scheduled,
            current=status.current_number_scheduled,
            misscheduled=status.number_misscheduled,
            ready=status.number_ready,
            available=status.number_available,
            updated=status.updated_number_scheduled,
        )
        or numbers.unavailable != status.number_unavailable
    )


def requeue_after_s(placement: Placement, numbers: StatusNumbers) -> float | None:
    """When to look again because ready pods become available with time alone.

    Besides what Kubernetes asks for (minReadySeconds, if ready and available differ) this is the
    first moment at which any pod becomes available: the numbers show only the oldest pod of a
    node, and a queue that keeps the earliest of several delays forgets the later ones, so that a
    surging rollout could stop for good.
    """
    min_ready_s = placement.terms.min_ready_s
    if min_ready_s <= 0:
        return None
    waits_s = [float(min_ready_s)] if numbers.ready != numbers.available else []
    next_s = placement.next_available_s()
    return min([*waits_s, next_s] if next_s is not None else waits_s, default=None)


def wait_s(
    status: DaemonSetStatus, generation: int, numbers: StatusNumbers | None, since_s: float
) -> float:
    """Nominal seconds for which a status that differs may wait, `since_s` after the last write.

    In a rollout each pod changes it. A new generation and the end of a rollout are told at once.
    `numbers`: None if they are those that are written already.
    """
    if status.observed_generation < generation or (numbers is not None and numbers.complete):
        return 0.0
    left_s = WRITE_INTERVAL_S - since_s
    return left_s if left_s > _SOON_S else 0.0


def status_tree(
    numbers: StatusNumbers, kept: DaemonSetStatus, observed_generation: int
) -> JsonObject:
    """The status as Kubernetes serialises it: four counters always, the others only if not zero."""
    tree: JsonObject = {
        "currentNumberScheduled": numbers.current,
        "numberMisscheduled": numbers.misscheduled,
        "desiredNumberScheduled": numbers.desired,
        "numberReady": numbers.ready,
    }
    optional: JsonObject = {
        "observedGeneration": observed_generation,
        "updatedNumberScheduled": numbers.updated,
        "numberAvailable": numbers.available,
        "numberUnavailable": numbers.unavailable,
    }
    tree |= {name: value for name, value in optional.items() if value}
    if kept.collision_count is not None:
        tree["collisionCount"] = kept.collision_count
    if kept.conditions:
        tree["conditions"] = kept.conditions
    return tree
