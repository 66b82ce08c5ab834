"""What is to be done about one CronJob now (spec cronjob-controller). Pure.

Invariants: at most one Job for each time of the schedule, named after it; with Forbid none while
one is active; what is not needed any more of the history is deleted oldest first.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api import cron
from kubeherd.cluster.api.cron import Schedule
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CRONJOBS, JOBS
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.cronjob.model import (
    SCHEDULED_AT,
    ConcurrencyPolicy,
    CronJob,
    CronJobStatus,
    Ending,
    JobReference,
    ending,
)
from kubeherd.controller.cronjob.schedule import Missed, NeverDue, most_recent, requeue_s
from kubeherd.controller.workload.claim import Owner, owner_reference
from kubeherd.controller.workload.events import Event, EventType
from kubeherd.controller.workload.jobs import Job

NOT_SUPPORTED = (
    "is not officially supported, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


class Observed(msgspec.Struct, frozen=True):
    """The status that follows from what there is, and what is to be said about it."""

    status: CronJobStatus
    events: list[Event]


class Decision(msgspec.Struct, frozen=True):
    """`start`: the time for which a Job is to be made, after the Jobs in `replaced` have been
    deleted; `again_s`: when to look again, None: when something changes."""

    start: datetime | None = None
    replaced: Sequence[JobReference] = ()
    again_s: float | None = None
    events: Sequence[Event] = ()


def surplus(cronjob: CronJob, jobs: Iterable[Job]) -> list[Job]:
    """The finished Jobs that the history limits leave no room for (section 5)."""
    spec, out = cronjob.spec, []
    ended = sorted((job for job in jobs if ending(job)), key=_by_start)
    for how, limit in (
        (Ending.COMPLETE, spec.successful_jobs_history_limit),
        (Ending.FAILED, spec.failed_jobs_history_limit),
    ):
        if limit is not None:
            these = [job for job in ended if ending(job) is how]
            out += these[: max(0, len(these) - limit)]
    return out


def _by_start(job: Job) -> tuple[bool, str, str]:
    """By start time, those without one last, then by name."""
    started = job.status.start_time
    return started is None, started or "", job.metadata.name


def forgotten(cronjob: CronJob, jobs: Iterable[Job]) -> list[Job]:
    """Jobs that go on and are not in the status: made just before a crash, or by somebody else."""
    status = cronjob.status
    return [job for job in jobs if not ending(job) and not status.is_active(job.metadata.uid)]


def missing(cronjob: CronJob, jobs: Iterable[Job]) -> list[JobReference]:
    """What the status calls active and the cache does not have."""
    present = {job.metadata.uid for job in jobs}
    return [reference for reference in cronjob.status.active if reference.uid not in present]


def without(status: CronJobStatus, uid: str) -> CronJobStatus:
    """The status in which this Job is no longer active."""
    return replace(status, active=[one for one in status.active if one.uid != uid])


def observe(cronjob: CronJob, jobs: Iterable[Job], gone: Sequence[JobReference]) -> Observed:
    """What the Jobs say (section 2); `gone`: of those `missing`, the ones that are really gone."""
    status, events = cronjob.status, []
    for job in jobs:
        name, how = job.metadata.name, ending(job)
        if how is None:
            if not status.is_active(job.metadata.uid):
                text = f"Saw a job that the controller did not create or forgot: {name}"
                events.append(Event(EventType.WARNING, "UnexpectedJob", text))
            continue
        if status.is_active(job.metadata.uid):
            status = without(status, job.metadata.uid)
            text = f"Saw completed job: {name}, condition: {how.value}"
            events.append(Event(EventType.NORMAL, "SawCompletedJob", text))
        if how is Ending.COMPLETE:
            status = _succeeded(status, job.status.completion_time)
    for reference in gone:
        status = without(status, reference.uid)
        text = f"Active job went missing: {reference.name}"
        events.append(Event(EventType.NORMAL, "MissingJob", text))
    return Observed(status, events)


def _succeeded(status: CronJobStatus, completed: str | None) -> CronJobStatus:
    last = status.last_successful_time
    if completed is None or (last is not None and parse_time(completed) <= parse_time(last)):
        return status
    return replace(status, last_successful_time=completed)


def decide(cronjob: CronJob, now: datetime) -> Decision:
    """Whether a Job is to be started (section 4)."""
    spec = cronjob.spec
    if cronjob.metadata.deletion_timestamp is not None:
        return Decision()
    events: list[Event] = []
    try:
        cron.zone(spec.time_zone or "")
    except cron.InvalidSchedule as error:
        text = f"invalid timeZone: {quoted(spec.time_zone or '')}: {error}"
        return Decision(events=[Event(EventType.WARNING, "UnknownTimeZone", text)])
    if spec.suspend:
        return Decision()
    if "TZ" in spec.schedule:
        text = f"CRON_TZ or TZ used in schedule {quoted(spec.schedule)} {NOT_SUPPORTED}"
        events.append(Event(EventType.WARNING, "UnsupportedSchedule", text))
    try:
        schedule = parsed(cronjob)
    except cron.InvalidSchedule as error:
        text = f"unparseable schedule: {quoted(spec.schedule)} : {error}"
        return Decision(events=[*events, Event(EventType.WARNING, "UnparseableSchedule", text)])
    try:
        recent = most_recent(cronjob, now, schedule, heed_deadline=True)
    except NeverDue as error:
        text = f"invalid schedule: {spec.schedule} : {error}"
        return Decision(events=[*events, Event(EventType.WARNING, "InvalidSchedule", text)])
    again_s = requeue_s(cronjob, now, schedule)
    if recent.time is None:
        return Decision(again_s=again_s, events=events)
    if recent.missed is Missed.MANY:
        text = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
            "clock skew"
        )
        events.append(Event(EventType.WARNING, "TooManyMissedTimes", text))
    refusal = _refusal(cronjob, recent.time)
    if refusal is not None:
        return Decision(again_s=again_s, events=[*events, *refusal])
    replacing = spec.concurrency_policy == ConcurrencyPolicy.REPLACE
    return Decision(recent.time, cronjob.status.active if replacing else (), again_s, events)


def _refusal(cronjob: CronJob, time: datetime) -> list[Event] | None:
    """What is said where no Job is started for an unmet time; None: start it."""
    status = cronjob.status
    name, last = job_name(cronjob, time), status.last_schedule_time
    if any(one.name == name for one in status.active) or (last and parse_time(last) == time):
        return []
    if cronjob.spec.concurrency_policy == ConcurrencyPolicy.FORBID and status.active:
        text = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        return [Event(EventType.NORMAL, "JobAlreadyActive", text)]
    return None


def parsed(cronjob: CronJob) -> Schedule:
    """The schedule in its time zone; InvalidSchedule."""
    text, zone = cronjob.spec.schedule, cronjob.spec.time_zone
    return cron.parse(text if "TZ" in text or zone is None else f"TZ={zone} {text}")


def job_name(cronjob: CronJob, time: datetime) -> str:
    """The name of the Job for a time of the schedule: with the minutes since 1970."""
    return f"{cronjob.metadata.name}-{int(time.timestamp()) // 60}"


def job_tree(cronjob: CronJob, time: datetime) -> JsonObject:
    """The Job for a time of the schedule (section 4.5)."""
    template = cronjob.spec.job_template
    meta = template.get("metadata") or {}
    shown = time.astimezone(cron.zone(cronjob.spec.time_zone or "")).isoformat()
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": job_name(cronjob, time),
            "labels": dict(meta.get("labels") or {}),
            "annotations": {
                **(meta.get("annotations") or {}),
                SCHEDULED_AT: shown.replace("+00:00", "Z"),
            },
            "ownerReferences": [owner_reference(Owner(CRONJOBS, cronjob.metadata))],
        },
        "spec": template.get("spec") or {},
    }


def started(status: CronJobStatus, job: JobReference, time: datetime) -> CronJobStatus:
    """The status after a Job was made for a time of the schedule."""
    return replace(status, active=[*status.active, job], last_schedule_time=format_time(time))
