"""Counting each ended pod exactly once (spec job-controller 6).

A pod that ended is noted by its UID in the status, then its finalizer is removed, then it moves
into a counter. `track` decides the first step, `settled` the last; whatever is interrupted between
them is taken up by the next sync, because a noted UID whose pod has no finalizer is one to count.
Invariants: counters never shrink; a UID is noted once; a Job ends only when nothing is noted.
"""

import msgspec

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job import intervals
from kubeherd.controller.job.conditions import condition, ended, ensured, is_success, succeeding
from kubeherd.controller.job.failurepolicy import judge
from kubeherd.controller.job.indexes import in_range
from kubeherd.controller.job.model import (
    MAX_UNCOUNTED,
    Actions,
    Assessment,
    Now,
    Outcome,
    Reason,
    SeenPod,
    Tracking,
)
from kubeherd.controller.workload.events import Event, EventType
from kubeherd.controller.workload.jobs import (
    ConditionType,
    Job,
    JobStatus,
    UncountedTerminatedPods,
)
from kubeherd.controller.workload.jobs import condition as condition_of

UNCOUNTED_NONE = UncountedTerminatedPods()


def track(standing: Assessment, actions: Actions, outcome: Outcome, now: Now) -> Tracking:
    """The status to write first, and the pods that may lose their finalizer after that."""
    before = standing.job.status
    active = len(standing.active) - outcome.deleted + outcome.created
    status = msgspec.structs.replace(
        before,
        active=active,
        ready=standing.ready - outcome.deleted_ready,
        terminating=standing.terminating + outcome.deleted,
        uncounted_terminated_pods=before.uncounted_terminated_pods or UNCOUNTED_NONE,
    )
    events: list[Event] = []
    ending = standing.ending
    if ending is not None:
        if outcome.deleted != len(standing.active):
            ending = None  # pods are left whose end has to be counted
    elif _is_complete(standing, active):
        message = "Reached expected number of succeeded pods"
        ending = succeeding(Reason.COMPLETIONS_REACHED, message, now.timestamp)
    elif actions.managed:
        status, events = _suspension(standing.job, status, now)
    return _counted(standing, status, ending, now, events)


def settled(status: JobStatus, uids: frozenset[str]) -> JobStatus:
    """The status with those noted pods counted that have no finalizer any more.

    `uids`: of the pods that have one.
    """
    noted = status.uncounted_terminated_pods or UNCOUNTED_NONE
    left = UncountedTerminatedPods(
        succeeded=[uid for uid in noted.succeeded if uid in uids],
        failed=[uid for uid in noted.failed if uid in uids],
    )
    return msgspec.structs.replace(
        status,
        succeeded=status.succeeded + len(noted.succeeded) - len(left.succeeded),
        failed=status.failed + len(noted.failed) - len(left.failed),
        uncounted_terminated_pods=left,
    )


def finish(job: Job, tracking: Tracking, now: Now) -> tuple[JobStatus, list[Event]]:
    """The status with the Job's end if it has come, and what to say about it.

    The end waits for pods that are still to be counted or still terminating.
    """
    status, ending = tracking.status, tracking.ending
    noted = status.uncounted_terminated_pods or UNCOUNTED_NONE
    if ending is None or not tracking.complete or noted != UNCOUNTED_NONE or status.terminating:
        return status, []
    conditions, _ = ensured(status.conditions, ending)
    if ending.type != ConditionType.COMPLETE:
        failed = Event(EventType.WARNING, ending.reason, ending.message)
        return msgspec.structs.replace(status, conditions=conditions), [failed]
    status = msgspec.structs.replace(status, conditions=conditions, completion_time=now.timestamp)
    events = [Event(EventType.NORMAL, Reason.COMPLETED, "Job completed")]
    completions = job.spec.completions
    if completions is not None and status.succeeded > completions:
        message = "Too many succeeded pods running after completion count reached"
        events.insert(0, Event(EventType.WARNING, Reason.TOO_MANY_SUCCEEDED_PODS, message))
    return status, events


def _is_complete(standing: Assessment, active: int) -> bool:
    completions = standing.job.spec.completions
    enough = standing.succeeded > 0 if completions is None else standing.succeeded >= completions
    return enough and active == 0


def _suspension(job: Job, status: JobStatus, now: Now) -> tuple[JobStatus, list[Event]]:
    """The condition Suspended; the clock of the deadline begins anew when a Job resumes."""
    stamp, kind = now.timestamp, ConditionType.SUSPENDED
    if job.suspended:
        wanted = condition(kind, Reason.JOB_SUSPENDED, "Job suspended", stamp)
        event, start = Event(EventType.NORMAL, Reason.SUSPENDED, wanted.message), None
    else:
        wanted = condition(kind, Reason.JOB_RESUMED, "Job resumed", stamp, "False")
        event, start = Event(EventType.NORMAL, Reason.RESUMED, wanted.message), stamp
    conditions, changed = ensured(status.conditions, wanted)
    if not changed:
        return status, []
    return msgspec.structs.replace(status, conditions=conditions, start_time=start), [event]


def _counted(
    standing: Assessment,
    status: JobStatus,
    ending: Condition | None,
    now: Now,
    events: list[Event],
) -> Tracking:
    job = standing.job
    uids = frozenset(seen.uid for seen in standing.pods if seen.tracked)
    status = settled(status, uids)
    notes = _Notes(standing, status, ending)
    for seen in standing.pods:
        if seen.tracked and notes.may_untrack(seen):
            notes.note(seen)
    status = msgspec.structs.replace(status, uncounted_terminated_pods=notes.uncounted())
    if job.indexed:
        failed = standing.failed_indexes
        status = msgspec.structs.replace(
            status,
            succeeded=intervals.total(standing.completed),
            completed_indexes=intervals.text(standing.completed),
            failed_indexes=None if failed is None else intervals.text(failed),
        )
    if ending is not None:
        status, ending = _announced(job, status, ending, now)
    return Tracking(
        status=status,
        changed=status != standing.stored,
        untrack=notes.untrack,
        uids=uids,
        ending=ending,
        events=events,
        complete=notes.complete,
    )


def _announced(
    job: Job, status: JobStatus, ending: Condition, now: Now
) -> tuple[JobStatus, Condition]:
    """The interim condition into the status, and the one that follows when all is counted."""
    if ending.type == ConditionType.FAILED:
        return status, ending
    conditions = status.conditions
    known = condition_of(job, ConditionType.SUCCESS_CRITERIA_MET)
    if not is_success(ending) or known is None or known.status != "True":
        conditions = [*conditions, ending]
    return msgspec.structs.replace(status, conditions=conditions), ended(ending, now.timestamp)


class _Notes:
    """Collects the pods that are noted and untracked in this sync: at most `MAX_UNCOUNTED` new."""

    def __init__(self, standing: Assessment, status: JobStatus, ending: Condition | None) -> None:
        self._standing = standing
        self._ending = ending
        noted = status.uncounted_terminated_pods or UNCOUNTED_NONE
        self._succeeded, self._failed = list(noted.succeeded), list(noted.failed)
        known = standing.stored.uncounted_terminated_pods or UNCOUNTED_NONE
        self._known_succeeded, self._known_failed = set(known.succeeded), set(known.failed)
        self._indexes = 0
        self.untrack: list[Pod] = []
        self.complete = True

    def uncounted(self) -> UncountedTerminatedPods:
        """What the status notes."""
        return UncountedTerminatedPods(succeeded=self._succeeded, failed=self._failed)

    def may_untrack(self, seen: SeenPod) -> bool:
        """Whether a pod's finalizer is no longer needed: it ended, or the Job does. One that waits
        for its replacement keeps it."""
        job = self._standing.job
        if job.metadata.deletion_timestamp is not None or self._ending is not None:
            return True
        if seen.succeeded:
            return True
        if not seen.failed:
            return False
        waiting = self._standing.awaiting.get(seen.index)
        return waiting is None or waiting.metadata.uid != seen.uid

    def note(self, seen: SeenPod) -> None:
        """Untrack a pod, noted for the counter that it belongs to; or leave it to the next sync."""
        known = seen.uid in self._known_succeeded or seen.uid in self._known_failed
        if not known and self._full:
            self.complete = False
            return
        self.untrack.append(seen.pod)
        if not known:
            self._count(seen)

    @property
    def _full(self) -> bool:
        return self._indexes + len(self._succeeded) + len(self._failed) >= MAX_UNCOUNTED

    def _count(self, seen: SeenPod) -> None:
        job = self._standing.job
        if not in_range(job, seen):
            return
        if seen.succeeded:
            if not job.indexed:
                self._succeeded.append(seen.uid)
            elif not intervals.contains(self._standing.completed_before, seen.index):
                self._indexes += 1
        elif self._is_failure(seen) and judge(job.spec.pod_failure_policy, seen.pod).counts:
            self._failed.append(seen.uid)

    def _is_failure(self, seen: SeenPod) -> bool:
        """A pod that had not ended when its Job failed has failed with it."""
        return seen.failed or (self._ending is not None and not is_success(self._ending))
