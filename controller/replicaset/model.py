"""What a plan is made from and what it consists of. Values are immutable."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.workload.apps import ReplicaSet

BURST_REPLICAS = 500
"""At most so many pods are created or deleted by one sync."""
REPLICA_FAILURE = "ReplicaFailure"
"""The condition that says that pods could not be created or deleted."""


class FailureReason(StrEnum):
    """What of a sync failed: the reason of the condition."""

    CREATE = "FailedCreate"
    DELETE = "FailedDelete"


class Failure(msgspec.Struct, frozen=True):
    """What went wrong with the pods of a sync; `message`: of the first error."""

    reason: FailureReason
    message: str


class Observed(msgspec.Struct, frozen=True):
    """What one sync of one ReplicaSet sees.

    `pods`: those controlled by its UID and all of its namespace without controller. `related`
    gives the pods of all ReplicaSets with the same owner; it is asked only when some pods have to
    be chosen for deletion. `terminating`: whether those are counted.
    """

    replicaset: ReplicaSet
    pods: Sequence[Pod]
    related: Callable[[], Iterable[Pod]] = tuple
    terminating: bool = True


class Numbers(msgspec.Struct, frozen=True):
    """The counters of ``status`` (spec 7); `terminating` None: the kind has no such field."""

    replicas: int = 0
    fully_labeled: int = 0
    ready: int = 0
    available: int = 0
    terminating: int | None = None


class Count(msgspec.Struct, frozen=True):
    """The counters, and after how many nominal seconds time alone will change them."""

    numbers: Numbers
    requeue_after_s: float | None = None


class Plan(msgspec.Struct, frozen=True):
    """What one sync does, in the order of its fields: `create` is a number of pods.

    An error in `adopt` or `release` ends the sync; one in the others goes into the status.
    """

    count: Count
    adopt: Sequence[Pod] = ()
    release: Sequence[Pod] = ()
    create: int = 0
    delete: Sequence[Pod] = ()

    @property
    def writes(self) -> bool:
        """Whether carrying it out writes anything but the status."""
        return bool(self.adopt or self.release or self.create or self.delete)
