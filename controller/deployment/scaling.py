"""What becomes of the ReplicaSets when a Deployment is scaled or paused (section 7).

Invariants: the sizes add up to what is allowed, or are left as they are; none is negative; a
ReplicaSet without pods gets none unless it is the only candidate.
"""

from collections.abc import Mapping, Sequence

import msgspec

from kubeherd.controller.deployment import annotations, limits
from kubeherd.controller.deployment.annotations import DESIRED_REPLICAS, MAX_REPLICAS
from kubeherd.controller.deployment.replicasets import (
    Divided,
    active,
    by_age,
    largest_first,
    size,
    wanted,
)
from kubeherd.controller.workload.apps import Deployment, ReplicaSet


class Scaling(msgspec.Struct, frozen=True):
    """New sizes by name. `annotated`: the sizes wanted now are noted even where nothing changes."""

    sizes: Mapping[str, int] = msgspec.field(default_factory=dict)
    annotated: bool = False


def is_scaled(deployment: Deployment, sets: Divided) -> bool:
    """Whether an active ReplicaSet remembers another size of the Deployment than it has now."""
    replicas = limits.desired(deployment)
    noted = (annotations.count(a.metadata.annotations, DESIRED_REPLICAS) for a in active(sets.all))
    return any(number is not None and number != replicas for number in noted)


def scale(deployment: Deployment, sets: Divided) -> Scaling:
    """The new sizes after a change of ``spec.replicas``, or in a pause."""
    replicas = limits.desired(deployment)
    only = active_or_latest(sets)
    if only is not None:
        return Scaling({only.metadata.name: replicas})
    if sets.new is not None and is_saturated(deployment, sets.new):
        return Scaling({old.metadata.name: 0 for old in active(sets.old)})
    some = active(sets.all)
    if limits.is_rolling(deployment) and some:
        return Scaling(_proportional(deployment, some), annotated=True)
    return Scaling()


def active_or_latest(sets: Divided) -> ReplicaSet | None:
    """The only ReplicaSet with pods; if none has any the new one, or else the youngest."""
    some = active(sets.all)
    if len(some) > 1:
        return None
    if some:
        return some[0]
    return sets.new or max(sets.old, key=by_age, default=None)


def is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    """Whether the new ReplicaSet has all pods, all of them available, and was meant to."""
    replicas = limits.desired(deployment)
    noted = annotations.integer(new.metadata.annotations.get(DESIRED_REPLICAS, ""))
    return size(new) == noted == new.status.available_replicas == replicas


def _proportional(deployment: Deployment, some: Sequence[ReplicaSet]) -> dict[str, int]:
    """Each gets its share of what is to be added or removed; the largest gets what is left over."""
    replicas = limits.desired(deployment)
    allowed = limits.max_replicas(deployment) if replicas > 0 else 0
    to_add = allowed - wanted(some)
    ordered = largest_first(some, newer=to_add > 0)
    sizes: dict[str, int] = {}
    added = 0
    for one in ordered:
        share = _share(deployment, one, to_add, added)
        sizes[one.metadata.name] = size(one) + share
        added += share
    largest = ordered[0].metadata.name
    sizes[largest] = max(0, sizes[largest] + to_add - added)
    return sizes


def _share(deployment: Deployment, one: ReplicaSet, to_add: int, added: int) -> int:
    """How much of what is left to add (or, negative, to remove) goes to this ReplicaSet."""
    if to_add == added:
        return 0
    left = to_add - added
    fraction = fraction_of(deployment, one)
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def fraction_of(deployment: Deployment, one: ReplicaSet) -> int:
    """By how much this ReplicaSet grows (or, negative, shrinks) with the Deployment."""
    replicas, now = limits.desired(deployment), size(one)
    if replicas == 0:
        return -now
    before = annotations.count(one.metadata.annotations, MAX_REPLICAS) or deployment.status.replicas
    if before == 0:
        return 0
    # Both are positive: rounded half up, in whole numbers.
    return (2 * now * limits.max_replicas(deployment) + before) // (2 * before) - now
