"""How a Job stands: the first part of a sync, before anything is written (spec job-controller 3).

Order: what an earlier sync has decided about the end, then failures, then successes. Invariant: a
decided end is never taken back.
"""

from collections.abc import Iterable, Sequence

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_ready
from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.job import backoff, indexes, intervals, successpolicy
from kubeherd.controller.job.conditions import ended, failing, succeeding
from kubeherd.controller.job.failurepolicy import judge
from kubeherd.controller.job.model import Assessment, Now, Observed, Reason, SeenPod
from kubeherd.controller.job.pods import restarts, see
from kubeherd.controller.workload.jobs import ConditionType, Job, UncountedTerminatedPods, condition


def assess(observed: Observed, now: Now) -> Assessment:
    """Count the pods, and find out whether the Job is about to end."""
    job = _started(observed.job, now)
    pods = see(job, observed.pods)
    if job.indexed:
        pods.sort(key=lambda seen: seen.index)
    uncounted = job.status.uncounted_terminated_pods or UncountedTerminatedPods()
    succeeded = _new(job, (s for s in pods if s.succeeded), uncounted.succeeded)
    failed = _new(job, (s for s in pods if s.failed), uncounted.failed)
    policy = job.spec.pod_failure_policy
    counted = sum(1 for seen in failed if policy is None or judge(policy, seen.pod).counts)
    active = [seen for seen in pods if seen.active]
    standing = Assessment(
        job=job,
        stored=observed.job.status,
        pods=pods,
        active=active,
        ready=sum(1 for seen in active if is_ready(seen.pod)),
        terminating=sum(1 for seen in pods if seen.terminating),
        succeeded=job.status.succeeded + len(succeeded) + len(uncounted.succeeded),
        failed=job.status.failed + counted + len(uncounted.failed),
        backoff=backoff.after(
            observed.backoff, [s.pod for s in succeeded], [s.pod for s in failed]
        ),
    )
    if job.indexed:
        standing = _with_indexes(standing)
    left_s = _until_deadline_s(observed, now)
    ending = (
        _decided(standing, now) or _failing(standing, left_s, now) or _succeeding(standing, now)
    )
    return msgspec.structs.replace(standing, ending=ending, look_again_s=None if ending else left_s)


def _started(job: Job, now: Now) -> Job:
    if job.status.start_time is not None or job.suspended:
        return job
    status = msgspec.structs.replace(job.status, start_time=now.timestamp)
    return msgspec.structs.replace(job, status=status)


def _new(job: Job, pods: Iterable[SeenPod], known: Sequence[str]) -> list[SeenPod]:
    """Those that the status does not have among its uncounted pods yet."""
    uids = set(known)
    return [s for s in pods if s.tracked and s.uid not in uids and indexes.in_range(job, s)]


def _with_indexes(standing: Assessment) -> Assessment:
    job, pods = standing.job, standing.pods
    completions = job.spec.completions or 0
    before = intervals.parse(job.status.completed_indexes, completions)
    known = intervals.parse(job.status.failed_indexes or "", completions)
    completed = intervals.merged(before, indexes.newly_completed(job, pods, known))
    standing = msgspec.structs.replace(
        standing,
        completed_before=before,
        completed=completed,
        succeeded=intervals.total(completed),
    )
    if job.spec.backoff_limit_per_index is None:
        return standing
    failed = intervals.merged(known, indexes.newly_failed(job, pods, completed))
    settled = intervals.merged(completed, failed)
    return msgspec.structs.replace(
        standing,
        failed_indexes=failed,
        awaiting=indexes.awaiting_replacement(job, pods, settled, standing.active),
    )


def _decided(standing: Assessment, now: Now) -> Condition | None:
    """The end that an earlier sync has decided; a rule of ``podFailurePolicy`` comes next."""
    job = standing.job
    success = condition(job, ConditionType.SUCCESS_CRITERIA_MET)
    if success is not None and success.status == "True":
        return success
    failure = condition(job, ConditionType.FAILURE_TARGET)
    if failure is not None and failure.status == "True":
        return ended(failure, now.timestamp)
    if job.spec.pod_failure_policy is None:
        return None
    for seen in standing.pods:
        if seen.failed and (message := judge(job.spec.pod_failure_policy, seen.pod).message):
            return failing(Reason.POD_FAILURE_POLICY, message, now.timestamp)
    return None


def _failing(standing: Assessment, left_s: float | None, now: Now) -> Condition | None:
    spec = standing.job.spec
    if standing.failed > spec.backoff_limit or _too_many_restarts(standing):
        reason = Reason.BACKOFF_LIMIT_EXCEEDED
        return failing(reason, "Job has reached the specified backoff limit", now.timestamp)
    if left_s is not None and left_s <= 0:
        reason = Reason.DEADLINE_EXCEEDED
        return failing(reason, "Job was active longer than specified deadline", now.timestamp)
    if standing.failed_indexes is None:
        return None
    failed = intervals.total(standing.failed_indexes)
    if spec.max_failed_indexes is not None and failed > spec.max_failed_indexes:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return failing(Reason.MAX_FAILED_INDEXES_EXCEEDED, message, now.timestamp)
    if failed > 0 and failed + standing.succeeded >= (spec.completions or 0):
        return failing(Reason.FAILED_INDEXES, "Job has failed indexes", now.timestamp)
    return None


def _too_many_restarts(standing: Assessment) -> bool:
    """With ``OnFailure`` containers are restarted instead of pods replaced: that counts as well."""
    spec = standing.job.spec
    if (spec.template.get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarted = sum(restarts(seen.pod) for seen in standing.pods)
    return restarted > 0 if spec.backoff_limit == 0 else restarted >= spec.backoff_limit


def _until_deadline_s(observed: Observed, now: Now) -> float | None:
    """Nominal seconds until ``activeDeadlineSeconds`` are over; None without an end."""
    job = observed.job
    deadline_s, start = job.spec.active_deadline_seconds, job.status.start_time
    if deadline_s is None or job.suspended:
        return None
    if start is None:
        return float(deadline_s)
    age_s = observed.started_ago_s
    return deadline_s - (now.age_s(start) if age_s is None else age_s)


def _succeeding(standing: Assessment, now: Now) -> Condition | None:
    spec = standing.job.spec
    if not standing.job.indexed:
        return None
    message = successpolicy.met(spec.success_policy, spec.completions or 0, standing.completed)
    return succeeding(Reason.SUCCESS_POLICY, message, now.timestamp) if message else None
