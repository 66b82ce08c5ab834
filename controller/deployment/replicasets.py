"""Which ReplicaSets of a Deployment are new, old and active, in which orders, and their sums
(sections 3 and 4).

Invariant: of several ReplicaSets with the Deployment's template the oldest is the new one, so that
all syncs agree on it.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from kubeherd.controller.deployment.template import is_template_of
from kubeherd.controller.workload.apps import Deployment, ReplicaSet


class Divided(msgspec.Struct, frozen=True):
    """The ReplicaSets of a Deployment; `old` are all but the new one, oldest first."""

    new: ReplicaSet | None = None
    old: Sequence[ReplicaSet] = ()

    @property
    def all(self) -> list[ReplicaSet]:
        """The old ones, then the new one if there is one."""
        return [*self.old, self.new] if self.new is not None else list(self.old)


def divide(deployment: Deployment, replica_sets: Iterable[ReplicaSet]) -> Divided:
    """Find the new ReplicaSet."""
    oldest_first = sorted(replica_sets, key=by_age)
    same = is_template_of(deployment)
    new = next((found for found in oldest_first if same(found)), None)
    return Divided(new, [other for other in oldest_first if other is not new])


def size(replica_set: ReplicaSet) -> int:
    """``spec.replicas``; 1 if it is not there."""
    replicas = replica_set.spec.replicas
    return 1 if replicas is None else replicas


def by_age(replica_set: ReplicaSet) -> tuple[str, str]:
    """The order of age: creation, then the name. (Times in UTC, in whole seconds, sort as text.)"""
    return replica_set.metadata.creation_timestamp, replica_set.metadata.name


def active(replica_sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Those that want pods."""
    return [replica_set for replica_set in replica_sets if size(replica_set) > 0]


def largest_first(replica_sets: Iterable[ReplicaSet], *, newer: bool) -> list[ReplicaSet]:
    """By size; of the same size the `newer` first, else the older."""
    aged = sorted(replica_sets, key=by_age, reverse=newer)
    return sorted(aged, key=size, reverse=True)


def total(replica_sets: Iterable[ReplicaSet], count: Callable[[ReplicaSet], int]) -> int:
    """A sum over ReplicaSets."""
    return sum(map(count, replica_sets))


def wanted(replica_sets: Iterable[ReplicaSet]) -> int:
    """How many pods they are to have together."""
    return total(replica_sets, size)


def available(replica_sets: Iterable[ReplicaSet]) -> int:
    """How many available pods they have together, as they report it."""
    return total(replica_sets, lambda one: one.status.available_replicas)


def terminating(replica_sets: Iterable[ReplicaSet]) -> int | None:
    """How many of their pods are going; None if one that was looked at does not tell."""
    count = 0
    for one in replica_sets:
        going = one.status.terminating_replicas
        if going is None and one.status.observed_generation:
            return None
        count += going or 0
    return count
