"""Which old ReplicaSets are no longer kept (section 12)."""

import functools
from collections.abc import Iterable

from kubeherd.controller.deployment.annotations import revision
from kubeherd.controller.deployment.limits import NO_LIMIT
from kubeherd.controller.deployment.replicasets import by_age, size
from kubeherd.controller.workload.apps import Deployment, ReplicaSet


def surplus(deployment: Deployment, old: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Those beyond revisionHistoryLimit, the oldest revisions; never one that has pods."""
    limit = deployment.spec.revision_history_limit
    if limit in (None, NO_LIMIT):
        return []
    there = [one for one in old if one.metadata.deletion_timestamp is None]
    beyond = max(0, len(there) - (limit or 0))
    ordered = sorted(there, key=functools.cmp_to_key(_by_revision))
    return [one for one in ordered[:beyond] if _is_empty(one)]


def _by_revision(one: ReplicaSet, other: ReplicaSet) -> int:
    first, second = revision(one), revision(other)
    if first is None or second is None or first == second:
        return -1 if by_age(one) < by_age(other) else 1
    return first - second


def _is_empty(one: ReplicaSet) -> bool:
    seen = one.metadata.generation <= one.status.observed_generation
    return seen and size(one) == 0 and one.status.replicas == 0
