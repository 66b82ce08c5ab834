"""What a plan is made from and what it consists of.

Invariants: all values are immutable; a `Plan` names every write that the sync makes, so that
nothing is written which no test of the pure code has seen.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.helpers.podutil import AgeOf
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Node, Pod
from kubeherd.controller.workload.events import Event
from kubeherd.controller.workload.revisions import REVISION_LABEL

HASH_LABEL = REVISION_LABEL
GENERATION_LABEL = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
BURST_REPLICAS = 250


class Reason(StrEnum):
    """Reasons of events on a DaemonSet besides `PodReason`; the first three are Kubernetes' own."""

    FAILED_DAEMON_POD = "FailedDaemonPod"
    SUCCEEDED_DAEMON_POD = "SucceededDaemonPod"
    SELECTING_ALL = "SelectingAll"
    ROLLOUT_HELD = "RolloutHeld"
    INVALID_ROLLOUT_CONTROL = "InvalidRolloutControl"


class Now(msgspec.Struct, frozen=True):
    """The moment of a plan: a monotonic reading (nominal seconds), ages of timestamps."""

    monotonic_s: float
    age_s: AgeOf


class BackoffEntry(msgspec.Struct, frozen=True):
    """Failed-pod back-off of one node: the current delay and when it was last raised."""

    delay_s: float
    bumped_at_s: float


class Terms(msgspec.Struct, frozen=True):
    """By what a DaemonSet's nodes are judged, besides what is on them.

    `hash` and `generation`: of the current template, the latter None without a number in the
    annotation. `surge`: whether two pods may be on a node while it is updated.
    """

    hash: str = ""
    generation: int | None = None
    min_ready_s: int = 0
    surge: bool = False


NodeOf = Callable[[str], Node | None]
"""Looks a node up by its name."""


class Known(msgspec.Struct, frozen=True):
    """What one sync of one DaemonSet knows besides its nodes and pods.

    `revisions`: those controlled by its UID and all of its namespace without controller. `backoff`:
    by node name, for its UID and observed generation. `hold`: what `Plan.hold` of the last sync
    was.
    """

    daemonset: DaemonSet
    node_of: NodeOf
    revisions: Sequence[ControllerRevision] = ()
    backoff: Mapping[str, BackoffEntry] = msgspec.field(default_factory=dict)
    hold: str = ""


class RevisionPatch(msgspec.Struct, frozen=True):
    """A change of an existing revision: None leaves the number, empty hash leaves the label."""

    revision: ControllerRevision
    number: int | None = None
    hash: str = ""


class Relabel(msgspec.Struct, frozen=True):
    """Give a pod the hash of the revision that was kept when duplicates were removed."""

    pod: Pod
    hash: str


class StatusNumbers(msgspec.Struct, frozen=True):
    """The counters of ``status`` (spec section 10)."""

    desired: int = 0
    current: int = 0
    misscheduled: int = 0
    ready: int = 0
    available: int = 0
    updated: int = 0

    @property
    def unavailable(self) -> int:
        """Desired pods that are not available, missing ones included."""
        return self.desired - self.available

    @property
    def awaited(self) -> int:
        """How many pods there is to wait for and nothing else, 0 if there may be more to do."""
        return self.unavailable if self.desired == self.updated and not self.misscheduled else 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: a rollout is over."""
        return self.desired == self.updated == self.available and not self.misscheduled


class Plan(msgspec.Struct, frozen=True):
    """What one sync does, in the order of its fields.

    Creates are node names, `hash` the label of the pods made for them. What the rolling update adds
    (`update_...`) is done only if everything before it succeeded. `failure` is an error to
    report after the status was written: the sync then counts as failed. `requeue_after_s` is when
    to look again even if nothing happens.
    """

    adopt_revisions: Sequence[ControllerRevision] = ()
    release_revisions: Sequence[ControllerRevision] = ()
    patch_revisions: Sequence[RevisionPatch] = ()
    relabel_pods: Sequence[Relabel] = ()
    delete_duplicates: Sequence[ControllerRevision] = ()
    create_revision: JsonObject | None = None
    adopt_pods: Sequence[Pod] = ()
    release_pods: Sequence[Pod] = ()
    events: Sequence[Event] = ()
    creates: Sequence[str] = ()
    deletes: Sequence[Pod] = ()
    update_creates: Sequence[str] = ()
    update_deletes: Sequence[Pod] = ()
    delete_revisions: Sequence[ControllerRevision] = ()
    status: StatusNumbers | None = None
    hash: str = ""
    backoff: Mapping[str, BackoffEntry] = msgspec.field(default_factory=dict)
    hold: str = ""
    failure: str = ""
    requeue_after_s: float | None = None

    @property
    def writes(self) -> bool:
        """Whether carrying the plan out writes anything but status and events."""
        return bool(
            self.adopt_revisions
            or self.release_revisions
            or self.patch_revisions
            or self.relabel_pods
            or self.delete_duplicates
            or self.create_revision
            or self.adopt_pods
            or self.release_pods
            or self.creates
            or self.deletes
            or self.update_creates
            or self.update_deletes
            or self.delete_revisions
        )
