"""One step of a rolling update (section 10).

Invariants: there are never more pods than desired and maxSurge together, as far as this step adds
some; no step takes away available pods of which maxUnavailable needs to keep.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.controller.deployment import limits
from kubeherd.controller.deployment.replicasets import Divided, active, available, size, wanted
from kubeherd.controller.workload.apps import Deployment, ReplicaSet

Step = tuple[str, int]
"""A ReplicaSet's name and its new size."""


def new_size(deployment: Deployment, sets: Divided, new: ReplicaSet) -> int:
    """The size of the new ReplicaSet (which may not be among `sets` yet): up as far as maxSurge
    allows, down to what is desired."""
    replicas, now = limits.desired(deployment), size(new)
    if not limits.is_rolling(deployment) or now > replicas:
        return replicas
    room = limits.max_replicas(deployment) - wanted([*sets.old, new])
    return now + max(0, min(room, replicas - now))


def old_steps(deployment: Deployment, sets: Divided, new: ReplicaSet) -> list[Step]:
    """How the old ReplicaSets shrink, in order: first by what is not available anyway."""
    olds = active(sets.old)
    unavailable = size(new) - new.status.available_replicas
    removable = wanted([*olds, new]) - limits.min_available(deployment) - unavailable
    if not olds or removable <= 0:
        return []
    steps = _unhealthy(olds, removable)
    if steps is None:
        return []
    sizes = dict(steps)
    left = [_resized(old, sizes.get(old.metadata.name, size(old))) for old in olds]
    return steps + _healthy(deployment, left, new)


def _unhealthy(olds: Sequence[ReplicaSet], most: int) -> list[Step] | None:
    """Take away what is not available, at most that many; None if a status is behind its spec."""
    steps: list[Step] = []
    for old in olds:
        if most <= 0:
            break
        missing = size(old) - old.status.available_replicas
        if missing < 0:
            return None
        if missing:
            step = min(most, missing)
            steps.append((old.metadata.name, size(old) - step))
            most -= step
    return steps


def _healthy(deployment: Deployment, olds: Sequence[ReplicaSet], new: ReplicaSet) -> list[Step]:
    """Take away what is available beyond what has to be."""
    spare = available([*olds, new]) - limits.min_available(deployment)
    steps: list[Step] = []
    for old in olds:
        step = min(size(old), spare)
        if step > 0:
            steps.append((old.metadata.name, size(old) - step))
            spare -= step
    return steps


def _resized(one: ReplicaSet, replicas: int) -> ReplicaSet:
    return msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, replicas=replicas))
