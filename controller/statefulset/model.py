"""What a plan is made from and what it consists of.

Invariants: all values are immutable; a `Plan` names every write that the sync makes, so that
nothing is written which no test of the pure code has seen.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ControllerRevision, OwnerReference, PartialObject, Pod
from kubeherd.controller.workload.apps import StatefulSet


class Observed(msgspec.Struct, frozen=True):
    """What one sync of one StatefulSet sees.

    `pods`: those controlled by this StatefulSet's UID and all of its namespace without controller.
    `claims`: by name, the PersistentVolumeClaims of all ordinals that are wanted or there.
    """

    statefulset: StatefulSet
    pods: Sequence[Pod]
    claims: Mapping[str, PartialObject]
    age_s: AgeOf


class Revision(msgspec.Struct, frozen=True):
    """A revision as pods are made from it."""

    name: str
    template: JsonObject


class Renumber(msgspec.Struct, frozen=True):
    """A revision that gets another number."""

    revision: ControllerRevision
    number: int


class History(msgspec.Struct, frozen=True):
    """The two revisions of a sync, and what has to be written before it may use them.

    `listed`: all that belong to the StatefulSet, in order. At most one of `create` and `renumber`
    is there; both concern the update revision.
    """

    current: Revision
    update: Revision
    collision_count: int
    listed: Sequence[ControllerRevision] = ()
    adopt: Sequence[ControllerRevision] = ()
    create: JsonObject | None = None
    renumber: Renumber | None = None


class Verb(StrEnum):
    """What is done to a pod; events say it."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    NOTHING = ""


class ClaimChange(msgspec.Struct, frozen=True):
    """New owner references of a claim, as it was at a resourceVersion. `conflicting`: somebody else
    controls it, which is worth an event."""

    name: str
    resource_version: str
    references: Sequence[OwnerReference]
    conflicting: bool = False


class PodWork(msgspec.Struct, frozen=True):
    """What is done about one pod, in this order: claims are created, the pod is created (from
    `tree`), updated (`fixes_pod`: its labels and volumes, else only its claims) or deleted, claims
    change owners. `failure`: why its claims cannot be had; then only claims are created."""

    name: str
    verb: Verb
    pod: Pod | None = None
    tree: JsonObject | None = None
    create_claims: Sequence[JsonObject] = ()
    failure: str = ""
    own_claims: Sequence[ClaimChange] = ()
    fixes_pod: bool = False


class StatusNumbers(msgspec.Struct, frozen=True):
    """The status that is to be written (spec section 8)."""

    replicas: int
    ready: int
    available: int
    current: int
    updated: int
    current_revision: str
    update_revision: str
    collision_count: int


class Plan(msgspec.Struct, frozen=True):
    """What one sync does after its history was written, in the order of its fields.

    Each of the three phases is left out from its first error on, and so is all that follows but
    status and history. `is_ordered`: one work at a time, else in slow-start batches. `roll`: the
    pod that is deleted for an update, if all went well; with it the status changes to
    `status_rolled`. `awaits_claims`: a pod cannot be made before a claim is gone.
    """

    adopt_pods: Sequence[Pod]
    release_pods: Sequence[Pod]
    is_ordered: bool
    replicas: Sequence[PodWork]
    condemned_claims: Sequence[PodWork]
    condemned: Sequence[PodWork]
    roll: PodWork | None
    status: StatusNumbers
    status_rolled: StatusNumbers
    delete_revisions: Sequence[ControllerRevision]
    requeue_after_s: float | None = None
    awaits_claims: bool = False

    @property
    def phases(self) -> tuple[Sequence[PodWork], ...]:
        """The works on pods and claims, a phase after the other."""
        roll = () if self.roll is None else (self.roll,)
        return self.replicas, self.condemned_claims, self.condemned, roll
