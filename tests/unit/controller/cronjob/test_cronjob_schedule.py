"""When a CronJob is due: the tables of upstream's utils_test.go."""

from datetime import datetime, timedelta

import pytest

from kubeherd.cluster.api import cron
from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.cronjob.model import CronJob, CronJobSpec, CronJobStatus
from kubeherd.controller.cronjob.schedule import Missed, NeverDue, most_recent, requeue_s

HOUR = datetime.fromisoformat("2016-05-19T10:00:00Z")
"""A Thursday, the top of the hour of upstream's tests."""
DAYS = 24 * 60


def at(minutes: float) -> datetime:
    return HOUR + timedelta(minutes=minutes)


def cronjob(
    schedule: str, created: float = 0, last: float | None = None, deadline_s: int | None = None
) -> CronJob:
    """Times are minutes after the top of the hour."""
    return CronJob(
        metadata=ObjectMeta(name="mycronjob", creation_timestamp=format_time(at(created))),
        spec=CronJobSpec(schedule=schedule, starting_deadline_seconds=deadline_s),
        status=CronJobStatus(
            last_schedule_time=None if last is None else format_time(at(last)),
        ),
    )


RECENT = {
    "now before next schedule": (cronjob("0 * * * *"), False, 0.5, 0, None, Missed.NONE),
    "now just after next schedule": (cronjob("0 * * * *"), False, 61, 0, 60, Missed.NONE),
    "missed 5 schedules": (cronjob("0 * * * *", 1 / 6), False, 301, 1 / 6, 300, Missed.FEW),
    "complex schedule": (
        cronjob("30 6-16/4 * * 1-5", last=30), False, DAYS + 31, 30, DAYS + 30, Missed.FEW,
    ),
    "another complex schedule": (
        cronjob("30 10,11,12 * * 1-5", last=30), False, 30 * 60 + 30, 30, None, Missed.FEW,
    ),
    "complex schedule with longer diff between executions": (
        cronjob("30 6-16/4 * * 1-5", last=30), False, 4 * DAYS + 31, 30, 4 * DAYS + 30, Missed.FEW,
    ),
    "complex schedule with shorter diff between executions": (
        cronjob("30 6-16/4 * * 1-5"), False, DAYS + 31, 0, DAYS + 30, Missed.FEW,
    ),
    "@every schedule": (
        cronjob("@every 1h", -59, last=1, deadline_s=10), False, 7 * DAYS, 1,
        6 * DAYS + 23 * 60 + 1, Missed.MANY,
    ),
    "earliestTime being CreationTimestamp and LastScheduleTime": (
        cronjob("0 * * * *", last=0), False, 0.5, 0, None, Missed.NONE,
    ),
    "earliestTime being LastScheduleTime": (
        cronjob("*/5 * * * *", last=30), False, 31, 30, None, Missed.NONE,
    ),
    "earliestTime being LastScheduleTime (within StartingDeadlineSeconds)": (
        cronjob("*/5 * * * *", last=30, deadline_s=60), False, 31, 30, None, Missed.NONE,
    ),
    "earliestTime being LastScheduleTime (outside StartingDeadlineSeconds)": (
        cronjob("*/5 * * * *", last=30, deadline_s=60), True, 32, 31, None, Missed.NONE,
    ),
    # TestNextScheduleTime
    "no known start times, and none needed yet": (
        cronjob("0 * * * ?", -10), True, -7, -10, None, Missed.NONE,
    ),
    "no known start times, and one needed": (
        cronjob("0 * * * ?", -10), True, 1 / 30, -10, 0, Missed.NONE,
    ),
    "known LastScheduleTime, no start needed": (
        cronjob("0 * * * ?", -10, last=0), True, 2, 0, None, Missed.NONE,
    ),
    "known LastScheduleTime, a start needed": (
        cronjob("0 * * * ?", -10, last=0), True, 65, 0, 60, Missed.NONE,
    ),
    "known LastScheduleTime, two starts needed": (
        cronjob("0 * * * ?", -120, last=-60), True, 65, -60, 60, Missed.FEW,
    ),
    "way ahead of last start time, and there is no deadline": (
        cronjob("0 * * * ?", -120, last=-60), True, 10 * DAYS + 60, -60, 10 * DAYS + 60,
        Missed.MANY,
    ),
    "way ahead of last start time, but there is a short deadline": (
        cronjob("0 * * * ?", -120, last=-60, deadline_s=7200), True, 10 * DAYS + 60,
        10 * DAYS - 60, 10 * DAYS + 60, Missed.FEW,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("cronjob", "heed_deadline", "now", "earliest", "time", "missed"), RECENT.values(), ids=RECENT
)
def test_most_recent_schedule_time(
    cronjob: CronJob,
    heed_deadline: bool,
    now: float,
    earliest: float,
    time: float | None,
    missed: Missed,
) -> None:
    schedule = cron.parse(cronjob.spec.schedule)
    recent = most_recent(cronjob, at(now), schedule, heed_deadline=heed_deadline)
    assert recent.earliest == at(earliest)
    assert recent.time == (None if time is None else at(time))
    assert recent.missed is missed


def test_a_rogue_schedule_is_never_due() -> None:
    rogue = cronjob("59 23 31 2 *", 1 / 6)
    with pytest.raises(NeverDue, match="time difference between two schedules is less than 1"):
        most_recent(rogue, at(60), cron.parse(rogue.spec.schedule), heed_deadline=False)
    assert requeue_s(rogue, at(60), cron.parse(rogue.spec.schedule)) == 0


DURATIONS = {
    "complex schedule skipping weekend": (
        cronjob("30 6-16/4 * * 1-5", last=30), DAYS + 31, 3 * 60 + 59,
    ),
    "another complex schedule skipping weekend": (
        cronjob("30 10,11,12 * * 1-5", last=30), 30 * 60 + 30, 66 * 60,
    ),
    "once a week cronjob, missed two runs": (
        cronjob("0 12 * * 4", last=120), 19 * DAYS + 90, 48 * 60 + 30,
    ),
    "no previous run of a cronjob": (cronjob("0 12 * * 5"), 6 * 60, 20 * 60),
}  # fmt: skip


@pytest.mark.parametrize(("cronjob", "now", "minutes"), DURATIONS.values(), ids=DURATIONS)
def test_next_schedule_time_duration(cronjob: CronJob, now: float, minutes: float) -> None:
    found_s = requeue_s(cronjob, at(now), cron.parse(cronjob.spec.schedule))
    assert found_s == pytest.approx(60 * minutes + 0.1)


def test_a_deadline_longer_than_history_is_no_deadline() -> None:
    forever = cronjob("0 * * * *", deadline_s=2**62)
    schedule = cron.parse("0 * * * *")
    assert most_recent(forever, at(30), schedule, heed_deadline=True).earliest == at(0)


def test_a_last_job_in_the_future_was_made_at_a_higher_speed() -> None:
    ahead = cronjob("0 * * * *", last=50_000)
    recent = most_recent(ahead, at(125), cron.parse("0 * * * *"), heed_deadline=True)
    assert recent.time == at(120)
