"""What a plan is made from and what it consists of.

Invariants: all values are immutable; a `Plan` names every write that the sync makes, so that
nothing is written which no test of the pure code has seen.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.workload.apps import Deployment, DeploymentStatus, ReplicaSet
from kubeherd.controller.workload.events import Event, EventType


class Reason(StrEnum):
    """Reasons of events on a Deployment."""

    SCALING = "ScalingReplicaSet"
    CREATE_FAILED = "ReplicaSetCreateError"
    SELECTING_ALL = "SelectingAll"
    ROLLBACK = "DeploymentRollback"
    REVISION_NOT_FOUND = "DeploymentRollbackRevisionNotFound"
    TEMPLATE_UNCHANGED = "DeploymentRollbackTemplateUnchanged"


class Now(msgspec.Struct, frozen=True):
    """The moment of a plan: as RFC 3339 text, and as the ages of timestamps."""

    text: str
    age_s: AgeOf


class Observed(msgspec.Struct, frozen=True):
    """What one sync of one Deployment sees.

    `replica_sets`: those controlled by this Deployment's uid and all of its namespace without a
    controller. `pods`: of the strategy Recreate only, by the uid of their ReplicaSet.
    """

    deployment: Deployment
    replica_sets: Sequence[ReplicaSet] = ()
    pods: Mapping[str, Sequence[Pod]] = msgspec.field(default_factory=dict)


class Change(msgspec.Struct, frozen=True):
    """Another size, other annotations, another minReadySeconds of a ReplicaSet; one write.

    `events` are recorded when it is done.
    """

    before: ReplicaSet
    after: ReplicaSet
    events: Sequence[Event] = ()


class Creation(msgspec.Struct, frozen=True):
    """A new ReplicaSet; `events` are recorded when it is made."""

    tree: JsonObject
    events: Sequence[Event] = ()

    @property
    def name(self) -> str:
        """The ReplicaSet's name."""
        return str(self.tree["metadata"]["name"])


class Rollback(msgspec.Struct, frozen=True):
    """The order to roll back is taken from the Deployment, which gets the template and the
    annotations of `to`, if it has to. `events` are recorded when it is done."""

    to: ReplicaSet | None = None
    events: Sequence[Event] = ()


class Plan(msgspec.Struct, frozen=True):
    """What one sync does, in the order of its fields.

    `status` and `revision` (the annotation) go into one write; `status` is None where both are
    stored already. `requeue_after_s` is when to look again even if nothing happens.
    """

    adopt: Sequence[ReplicaSet] = ()
    release: Sequence[ReplicaSet] = ()
    events: Sequence[Event] = ()
    create: Creation | None = None
    changes: Sequence[Change] = ()
    deletes: Sequence[ReplicaSet] = ()
    status: DeploymentStatus | None = None
    revision: str = ""
    rollback: Rollback | None = None
    requeue_after_s: float | None = None

    @property
    def writes(self) -> bool:
        """Whether carrying the plan out writes anything but events."""
        return bool(
            self.adopt
            or self.release
            or self.create
            or self.changes
            or self.deletes
            or self.status
            or self.rollback
        )


def scaling_event(name: str, before: int, after: int) -> Event:
    """What is said of a ReplicaSet's new size."""
    way = "up" if before < after else "down"
    text = f"Scaled {way} replica set {name} from {before} to {after}"
    return Event(EventType.NORMAL, Reason.SCALING, text)
