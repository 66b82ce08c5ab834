"""Completion indexes of a Job: which are done, failed, pending, and taken twice (section 4, 7)."""

from collections.abc import Iterable

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job import intervals
from kubeherd.controller.job.failurepolicy import judge
from kubeherd.controller.job.intervals import Intervals
from kubeherd.controller.job.model import NO_INDEX, Assessment, NewPod, SeenPod
from kubeherd.controller.job.pods import (
    failures,
    finished_at,
    ignored_failures,
    replaces_only_failed,
)
from kubeherd.controller.workload.jobs import FailureAction, Job
from kubeherd.controller.workload.pods.ranking import deletion_order


def in_range(job: Job, seen: SeenPod) -> bool:
    """Whether the pod's index is one of this Job; always so without indexes."""
    return not job.indexed or NO_INDEX < seen.index < (job.spec.completions or 0)


def newly_completed(job: Job, pods: Iterable[SeenPod], failed: Intervals = ()) -> Intervals:
    """Indexes of pods that succeeded and are not counted yet; one that has `failed` stays so."""
    return intervals.of(
        {s.index for s in _uncounted(job, pods, failed) if s.succeeded},
    )


def newly_failed(job: Job, pods: Iterable[SeenPod], completed: Intervals = ()) -> Intervals:
    """Indexes that have failed for good, by pods that are not counted yet; one that is `completed`
    has not."""
    return intervals.of({s.index for s in _uncounted(job, pods, completed) if index_failed(job, s)})


def _uncounted(job: Job, pods: Iterable[SeenPod], settled: Intervals) -> list[SeenPod]:
    return [
        seen
        for seen in pods
        if seen.tracked and in_range(job, seen) and not intervals.contains(settled, seen.index)
    ]


def index_failed(job: Job, seen: SeenPod) -> bool:
    """Whether an index has failed for good with this pod."""
    if not seen.failed:
        return False
    verdict = judge(job.spec.pod_failure_policy, seen.pod)
    if verdict.action is FailureAction.FAIL_INDEX:
        return True
    return verdict.counts and failures(seen.pod) >= (job.spec.backoff_limit_per_index or 0)


def awaiting_replacement(
    job: Job, pods: Iterable[SeenPod], settled: Intervals, active: Iterable[SeenPod]
) -> dict[int, Pod]:
    """By index the failed pod that stays until its replacement has taken over its failure counts.

    `settled` are indexes that need none: done, or failed for good.
    """
    running = {seen.index for seen in active}
    chosen: dict[int, Pod] = {}
    for seen in pods:
        if not (seen.tracked and seen.failed and in_range(job, seen)):
            continue
        if seen.index in running or intervals.contains(settled, seen.index):
            continue
        known = chosen.get(seen.index)
        if known is None or _follows(seen.pod, known):
            chosen[seen.index] = seen.pod
    return chosen


def _follows(pod: Pod, known: Pod) -> bool:
    before = failures(known) + ignored_failures(known)
    return before <= failures(pod) + ignored_failures(pod) and finished_at(pod) >= finished_at(
        known
    )


def first_pending(assessment: Assessment, count: int) -> list[int]:
    """The lowest indexes that are neither done, failed nor taken, at most `count`."""
    job = assessment.job
    only_failed = replaces_only_failed(job)
    taken = {
        seen.index
        for seen in assessment.pods
        if seen.index != NO_INDEX and (seen.active or (only_failed and seen.terminating))
    }
    settled = intervals.merged(assessment.completed, assessment.failed_indexes or ())
    found: list[int] = []
    candidate = 0
    for first, last in (*intervals.merged(settled, intervals.of(taken)), (2**31, 2**31)):
        end = min(first, job.spec.completions or 0)
        found += range(candidate, min(end, candidate + count - len(found)))
        candidate = max(candidate, last + 1)
        if len(found) >= count:
            break
    return found


def replacement(job: Job, index: int, replaced: Pod | None) -> NewPod:
    """The pod for an index, with the failure counts that it inherits (section 7)."""
    if job.spec.backoff_limit_per_index is None:
        return NewPod(index)
    if replaced is None:
        return NewPod(index, failures=0)
    counts = judge(job.spec.pod_failure_policy, replaced).counts
    return NewPod(
        index,
        failures=failures(replaced) + counts,
        ignored_failures=ignored_failures(replaced) + (not counts),
    )


def surplus(job: Job, active: Iterable[SeenPod]) -> tuple[list[Pod], list[Pod]]:
    """Active pods that must go whatever their number is, and those that may stay.

    Of each index one stays, the one that would be deleted last; without an index of this Job none.
    """
    by_index: dict[int, list[SeenPod]] = {}
    for seen in active:
        by_index.setdefault(seen.index, []).append(seen)
    gone: list[Pod] = []
    left: list[Pod] = []
    for _, same in sorted(by_index.items()):
        pods = [seen.pod for seen in same]
        if not in_range(job, same[0]):
            gone += pods
        else:
            *others, last = deletion_order(pods)
            gone += others
            left.append(last)
    return gone, left
