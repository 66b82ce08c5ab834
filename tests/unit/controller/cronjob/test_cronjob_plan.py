"""What is done about a CronJob now: upstream's TestControllerV2SyncCronJob and its neighbours."""

from datetime import datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from kubeherd.cluster.api.objects import Condition, ObjectMeta
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.cronjob import plan
from kubeherd.controller.cronjob.model import CronJob, CronJobSpec, CronJobStatus, JobReference
from kubeherd.controller.workload.jobs import Job, JobStatus

HOUR = datetime.fromisoformat("2016-05-19T10:00:00Z")
SHORT, MEDIUM, LONG = 10, 2 * 60 * 60, 1_000_000
BEFORE, AFTER = HOUR - timedelta(minutes=1), HOUR + timedelta(minutes=1)
WEEK_AFTER = HOUR + timedelta(days=7)
PRIOR = HOUR - timedelta(minutes=59)
TEMPLATE = {
    "metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}},
    "spec": {"parallelism": 1, "template": {"spec": {"containers": [{"image": "foo/bar"}]}}},
}
RUNNING = JobReference(name="mycronjob-1", namespace="snazzycats", uid="job-1")


def job(name: str, ended: str = "", *, started: str | None = None, done: str | None = None) -> Job:
    conditions = [Condition(type=ended, status="True")] if ended else []
    return Job(
        metadata=ObjectMeta(name=name, namespace="snazzycats", uid=f"uid-{name}"),
        status=JobStatus(conditions=conditions, start_time=started, completion_time=done),
    )


def cronjob(policy: str = "Allow", **spec: object) -> CronJob:
    given = {"schedule": "0 * * * ?", "concurrencyPolicy": policy, "jobTemplate": TEMPLATE, **spec}
    return CronJob(
        metadata=ObjectMeta(
            name="mycronjob",
            namespace="snazzycats",
            uid="1a2b3c",
            creation_timestamp=format_time(BEFORE),
        ),
        spec=msgspec.convert(given, CronJobSpec),
    )


def ran(one: CronJob, *, active: bool = False) -> CronJob:
    """A CronJob whose Job of the hour before is over, or not."""
    meta = replace(one.metadata, creation_timestamp=format_time(HOUR - timedelta(minutes=61)))
    status = CronJobStatus(
        active=[RUNNING] if active else [], last_schedule_time=format_time(PRIOR)
    )
    return replace(one, metadata=meta, status=status)


A, F, R = "Allow", "Forbid", "Replace"
WEEK = ran(cronjob()), WEEK_AFTER

SYNC = {
    # name: (CronJob, now, starts, minutes until the next look, reasons of events)
    "never ran, not valid schedule": (cronjob(schedule="obvious error schedule"), BEFORE, False,
                                      None, ["UnparseableSchedule"]),
    "never ran, not valid time zone": (cronjob(timeZone="bad timezone"), BEFORE, False, None,
                                       ["UnknownTimeZone"]),
    "never ran, not time, A": (cronjob(A), BEFORE, False, 1, []),
    "never ran, not time, F": (cronjob(F), BEFORE, False, 1, []),
    "never ran, not time, R": (cronjob(R), BEFORE, False, 1, []),
    "never ran, not time in zone": (cronjob(timeZone="America/New_York"), BEFORE, False, 1, []),
    "never ran, is time, A": (cronjob(A), AFTER, True, 59, []),
    "never ran, is time, F": (cronjob(F), AFTER, True, 59, []),
    "never ran, is time, R": (cronjob(R), AFTER, True, 59, []),
    "never ran, is time in zone": (cronjob(timeZone="America/New_York"), AFTER, True, 59, []),
    "never ran, is time in zone, but TZ is also set in schedule": (
        cronjob(timeZone="America/New_York", schedule="TZ=UTC 0 * * * ?"), AFTER, True, 59,
        ["UnsupportedSchedule"]),
    "never ran, is time, suspended": (cronjob(suspend=True), AFTER, False, None, []),
    "never ran, is time, past deadline": (cronjob(startingDeadlineSeconds=SHORT),
                                          AFTER + timedelta(minutes=SHORT + 1), False, 48, []),
    "never ran, is time, not past deadline": (cronjob(startingDeadlineSeconds=LONG), AFTER, True,
                                              59, []),
    "prev ran but done, not time": (ran(cronjob()), BEFORE, False, 1, []),
    "prev ran but done, is time, A": (ran(cronjob(A)), AFTER, True, 59, []),
    "prev ran but done, is time, F": (ran(cronjob(F)), AFTER, True, 59, []),
    "prev ran but done, is time, R": (ran(cronjob(R)), AFTER, True, 59, []),
    "prev ran but done, is time, past deadline": (ran(cronjob(startingDeadlineSeconds=SHORT)),
                                                  AFTER, False, 59, []),
    "still active, not time": (ran(cronjob(), active=True), BEFORE, False, 1, []),
    "still active, is time, A": (ran(cronjob(A), active=True), AFTER, True, 59, []),
    "still active, is time, F": (ran(cronjob(F), active=True), AFTER, False, 59,
                                 ["JobAlreadyActive"]),
    "still active, is time, R": (ran(cronjob(R), active=True), AFTER, True, 59, []),
    "still active, is time, suspended": (ran(cronjob(suspend=True), active=True), AFTER, False,
                                         None, []),
    "long overdue, not past deadline": (ran(cronjob(startingDeadlineSeconds=LONG)), WEEK_AFTER,
                                        True, 60, ["TooManyMissedTimes"]),
    "long overdue, no deadline": (ran(cronjob()), WEEK_AFTER, True, 60, ["TooManyMissedTimes"]),
    "long overdue, past medium deadline": (ran(cronjob(startingDeadlineSeconds=MEDIUM)),
                                           WEEK_AFTER, True, 60, []),
    "long overdue, past short deadline": (ran(cronjob(startingDeadlineSeconds=SHORT)), WEEK_AFTER,
                                          True, 60, []),
    "do not start jobs when the schedule never comes": (cronjob(schedule="59 23 31 2 *"), AFTER,
                                                        False, None, ["InvalidSchedule"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("cronjob", "now", "starts", "minutes", "reasons"), SYNC.values(), ids=SYNC
)
def test_sync_cronjob(
    cronjob: CronJob, now: datetime, starts: bool, minutes: float | None, reasons: list[str]
) -> None:
    decision = plan.decide(cronjob, now)
    assert (decision.start is not None) == starts
    if minutes is None:
        assert decision.again_s is None
    else:
        assert decision.again_s == pytest.approx(minutes * 60 + 0.1)
    assert [event.reason for event in decision.events] == reasons
    replacing = cronjob.spec.concurrency_policy == R and starts
    assert list(decision.replaced) == (cronjob.status.active if replacing else [])


def test_texts_of_events() -> None:
    zone = plan.decide(cronjob(timeZone="bad timezone"), AFTER).events[0].message
    assert zone == 'invalid timeZone: "bad timezone": unknown time zone bad timezone'
    schedule = plan.decide(cronjob(schedule="a b"), AFTER).events[0].message
    assert schedule == 'unparseable schedule: "a b" : expected exactly 5 fields, found 2: [a b]'
    never = plan.decide(cronjob(schedule="59 23 31 2 *"), AFTER).events[0].message
    assert never == (
        "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 "
        "second"
    )


def test_a_time_is_not_used_twice() -> None:
    used = replace(cronjob(), status=CronJobStatus(last_schedule_time=format_time(HOUR)))
    assert plan.decide(used, AFTER).start is None
    name = plan.job_name(cronjob(), HOUR)
    by_name = replace(cronjob(), status=CronJobStatus(active=[JobReference(name=name, uid="u")]))
    assert plan.decide(by_name, AFTER).start is None


def test_a_cronjob_that_is_deleted_starts_nothing() -> None:
    one = cronjob()
    going = replace(one, metadata=replace(one.metadata, deletion_timestamp=format_time(HOUR)))
    assert plan.decide(going, AFTER) == plan.Decision()


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        (None, "2016-05-19T10:00:00Z"),
        ("UTC", "2016-05-19T10:00:00Z"),
        ("Europe/Rome", "2016-05-19T12:00:00+02:00"),
    ],
)
def test_get_job_from_template(zone: str | None, shown: str) -> None:
    tree = plan.job_tree(cronjob(timeZone=zone), HOUR)
    assert tree["metadata"] == {
        "name": "mycronjob-24394200",
        "labels": {"a": "b"},
        "annotations": {"x": "y", "batch.kubernetes.io/cronjob-scheduled-timestamp": shown},
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "name": "mycronjob",
                "uid": "1a2b3c",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert tree["spec"] == TEMPLATE["spec"]


def test_by_job_start_time_and_history_limits() -> None:
    early, late = "2018-01-01T02:03:04Z", "2019-01-01T02:03:04Z"
    jobs = [
        job("c", "Complete", started=late),
        job("b", "Complete", started=early),
        job("a", "Complete", started=early),
        job("z", "Complete"),
        job("running"),
        job("f2", "Failed", started=late),
        job("f1", "Failed", started=early),
    ]

    def names(successful: int | None, failed: int | None) -> list[str]:
        one = cronjob(successfulJobsHistoryLimit=successful, failedJobsHistoryLimit=failed)
        return [gone.metadata.name for gone in plan.surplus(one, jobs)]

    assert names(None, None) == []
    assert names(1, None) == ["a", "b", "c"]
    assert names(4, 2) == []
    assert names(0, 1) == ["a", "b", "c", "z", "f1"]


def test_observing_what_jobs_became() -> None:
    active = [JobReference(name=name, uid=f"uid-{name}") for name in ("done", "failed", "on", "x")]
    one = replace(cronjob(), status=CronJobStatus(active=active))
    jobs = [
        job("done", "Complete", done="2016-05-19T09:05:00Z"),
        job("older", "Complete", done="2016-05-19T08:05:00Z"),
        job("failed", "Failed"),
        job("on"),
        job("stray"),
    ]
    assert [found.metadata.name for found in plan.forgotten(one, jobs)] == ["stray"]
    gone = plan.missing(one, jobs)
    assert [reference.name for reference in gone] == ["x"]
    seen = plan.observe(one, jobs, gone)
    assert [reference.name for reference in seen.status.active] == ["on"]
    assert seen.status.last_successful_time == "2016-05-19T09:05:00Z"
    assert [(event.reason, event.message) for event in seen.events] == [
        ("SawCompletedJob", "Saw completed job: done, condition: Complete"),
        ("SawCompletedJob", "Saw completed job: failed, condition: Failed"),
        ("UnexpectedJob", "Saw a job that the controller did not create or forgot: stray"),
        ("MissingJob", "Active job went missing: x"),
    ]
    assert plan.observe(one, jobs, []).status.is_active("uid-x"), "the server still has it"
