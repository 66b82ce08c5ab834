"""What a sync of a Job is decided from, and what it decides.

Invariant: all values are immutable; nothing is written that is not named in one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job.intervals import Intervals
from kubeherd.controller.workload.events import Event
from kubeherd.controller.workload.jobs import Job, JobStatus

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
"""Also the name of the pod's label with the index."""
FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"

BATCH_S = 1.0
"""Syncs because of pods and of the status wait so long: what comes meanwhile is one sync."""
RETRY_S = 1.0
RETRY_CAP_S = 60.0
POD_BACKOFF_S = 10.0
POD_BACKOFF_CAP_S = 600.0
MAX_UNCOUNTED = 500
"""Pods that one sync counts: their UIDs in the status stay below 20 KB."""
MAX_WRITES = 500
"""Pods that one sync creates, or deletes."""
NO_INDEX = -1


class Reason(StrEnum):
    """Reasons of conditions and events of Jobs."""

    POD_FAILURE_POLICY = "PodFailurePolicy"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    MAX_FAILED_INDEXES_EXCEEDED = "MaxFailedIndexesExceeded"
    FAILED_INDEXES = "FailedIndexes"
    SUCCESS_POLICY = "SuccessPolicy"
    COMPLETIONS_REACHED = "CompletionsReached"
    JOB_SUSPENDED = "JobSuspended"
    JOB_RESUMED = "JobResumed"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    COMPLETED = "Completed"
    TOO_MANY_SUCCEEDED_PODS = "TooManySucceededPods"


class Now(msgspec.Struct, frozen=True):
    """The moment of a sync: as the API writes it, and the nominal ages of other moments."""

    timestamp: str
    age_s: Callable[[str | datetime], float]


class Backoff(msgspec.Struct, frozen=True):
    """Failures since the last success, and when the last of them was; None without any."""

    failures: int = 0
    last_failure: datetime | None = None


class SeenPod(msgspec.Struct, frozen=True, gc=False):
    """A pod with the answers to what a sync asks of it several times (section 3.1)."""

    pod: Pod
    index: int
    tracked: bool
    """It carries the finalizer: it is not counted, or it is among the uncounted."""
    failed: bool
    succeeded: bool
    active: bool
    terminating: bool

    @property
    def uid(self) -> str:
        """The pod's UID."""
        return self.pod.metadata.uid


class Observed(msgspec.Struct, frozen=True):
    """What a sync sees: the Job and the pods that are its own."""

    job: Job
    pods: Sequence[Pod]
    backoff: Backoff = Backoff()
    started_ago_s: float | None = None
    """Nominal seconds since ``status.startTime``, if it is known better than to a second."""


class Assessment(msgspec.Struct, frozen=True):
    """How a Job stands (section 3). Counts include what ended since the status was written."""

    job: Job
    """With its start time, which may not be stored yet."""
    stored: JobStatus
    pods: Sequence[SeenPod]
    active: Sequence[SeenPod]
    ready: int
    terminating: int
    succeeded: int
    failed: int
    completed_before: Intervals = ()
    completed: Intervals = ()
    failed_indexes: Intervals | None = None
    awaiting: Mapping[int, Pod] = msgspec.field(default_factory=dict)
    """Failed pods, by index, whose replacement has to inherit their failure counts (section 7)."""
    backoff: Backoff = Backoff()
    ending: Condition | None = None
    """FailureTarget, Failed or SuccessCriteriaMet, if the Job is about to end."""
    look_again_s: float | None = None
    """When ``activeDeadlineSeconds`` will be over."""


class NewPod(msgspec.Struct, frozen=True):
    """A pod to create; counts are None where failures are not counted by index."""

    index: int = NO_INDEX
    failures: int | None = None
    ignored_failures: int = 0


class Actions(msgspec.Struct, frozen=True):
    """What a sync does to pods: deletes or creates, never both (section 5)."""

    managed: bool = False
    """Whether the number of pods was looked after: the conditions of suspension may change then."""
    deletes: Sequence[Pod] = ()
    untrack: bool = False
    """Take the finalizer away before: these pods are not to be counted."""
    creates: Sequence[NewPod] = ()
    look_again_s: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What came of `Actions`."""

    created: int = 0
    deleted: int = 0
    deleted_ready: int = 0


class Tracking(msgspec.Struct, frozen=True):
    """The first half of counting (section 6): `status` is written before `untrack` lose their
    finalizer. `ending` is the condition with which the Job ends once nothing is uncounted."""

    status: JobStatus
    changed: bool
    untrack: Sequence[Pod] = ()
    uids: frozenset[str] = frozenset()
    """Of all pods with the finalizer."""
    ending: Condition | None = None
    events: Sequence[Event] = ()
    complete: bool = True
    """False if there was more to count than one sync may."""
