"""Properties of schedules and of what is done about a CronJob, over generated input."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeherd.cluster.api import cron
from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.cronjob import plan
from kubeherd.controller.cronjob.model import (
    ConcurrencyPolicy,
    CronJob,
    CronJobSpec,
    CronJobStatus,
    JobReference,
)
from kubeherd.controller.cronjob.plan import Decision

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@st.composite
def fields(draw: st.DrawFn, least: int, most: int) -> str:
    """One field of a schedule: a star, a number, a range, with steps or in a list."""
    first = draw(st.integers(least, most))
    last = draw(st.integers(first, most))
    step = draw(st.integers(1, most))
    parts = [f"{first}", f"{first}-{last}", f"*/{step}", f"{first}/{step}", "*", "?"]
    return ",".join(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=2)))


schedules = st.one_of(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6)).map(
        " ".join
    ),
    st.tuples(fields(0, 59), fields(0, 23)).map(lambda two: f"{' '.join(two)} * * *"),
    st.integers(1, 5000).map(lambda seconds: f"@every {seconds}s"),
)
moments = st.integers(0, 3 * 365 * 86400).map(lambda seconds: BEGIN + timedelta(seconds=seconds))


@settings(max_examples=50, deadline=None)
@given(schedules, moments)
def test_the_next_moment_is_a_match_and_none_comes_before_it(text: str, moment: datetime) -> None:
    schedule = cron.parse(text)
    found = schedule.next_after(moment)
    if isinstance(schedule, cron.Every):
        assert found == moment + timedelta(seconds=schedule.delay_s)
        return
    last = moment + timedelta(days=2) if found is None else min(found, moment + timedelta(days=2))
    minute = moment.replace(second=0) + MINUTE
    while minute < last:
        assert not matches(schedule, minute)
        minute += MINUTE
    if found is not None:
        assert found > moment
        assert matches(schedule, found)


def matches(schedule: cron.Fields, moment: datetime) -> bool:
    """What a schedule means, by the book."""
    day = moment.day in schedule.days, moment.isoweekday() % 7 in schedule.weekdays
    return (
        moment.second == 0
        and moment.minute in schedule.minutes
        and moment.hour in schedule.hours
        and moment.month in schedule.months
        and (any(day) if schedule.either_day else all(day))
    )


def a_cronjob(schedule: str, policy: ConcurrencyPolicy, deadline_s: int | None) -> CronJob:
    return CronJob(
        metadata=ObjectMeta(name="c", namespace="ns", creation_timestamp=format_time(BEGIN)),
        spec=CronJobSpec(
            schedule=schedule,
            concurrency_policy=policy.value,
            starting_deadline_seconds=deadline_s,
        ),
    )


class Life:
    """A CronJob, its Jobs, and a controller that looks at it again and again."""

    def __init__(self, cronjob: CronJob) -> None:
        self.cronjob = cronjob
        self.made: list[str] = []

    def look(self, now: datetime) -> Decision:
        decision = plan.decide(self.cronjob, now)
        if decision.start is not None:
            name = plan.job_name(self.cronjob, decision.start)
            assert name not in self.made
            self.made.append(name)
            status = self.cronjob.status
            for gone in decision.replaced:
                status = plan.without(status, gone.uid)
            status = plan.started(status, JobReference(name=name, uid=name), decision.start)
            self.cronjob = replace(self.cronjob, status=status)
        return decision

    def end(self, count: int) -> None:
        """The oldest Jobs end."""
        rest = self.cronjob.status.active[count:]
        self.cronjob = replace(self.cronjob, status=replace(self.cronjob.status, active=rest))


steps = st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 3)), min_size=1, max_size=12)
policies = st.sampled_from(ConcurrencyPolicy)
deadlines = st.one_of(st.none(), st.integers(0, 100_000))
dense = st.one_of(
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 6-16/4 * * 1-5"]),
    st.integers(60, 5000).map(lambda seconds: f"@every {seconds}s"),
)


@settings(max_examples=40, deadline=None)
@given(dense, policies, deadlines, steps)
def test_one_job_a_time_and_nothing_more_to_do_after_it(
    schedule: str,
    policy: ConcurrencyPolicy,
    deadline_s: int | None,
    waits: list[tuple[int, int]],
) -> None:
    life, now = Life(a_cronjob(schedule, policy, deadline_s)), BEGIN
    for wait_s, ends in waits:
        now += timedelta(seconds=wait_s)
        life.end(ends)
        life.look(now)
        active = life.cronjob.status.active
        assert policy is ConcurrencyPolicy.ALLOW or len(active) <= 1
        again = plan.decide(life.cronjob, now)
        assert again.start is None, "a fixed point"
        assert again.again_s is not None
        assert again.again_s > 0


@settings(max_examples=40, deadline=None)
@given(dense, st.integers(1, 200_000))
def test_who_comes_back_when_told_to_misses_nothing(schedule: str, wait_s: int) -> None:
    life, now = Life(a_cronjob(schedule, ConcurrencyPolicy.ALLOW, None)), BEGIN
    now += timedelta(seconds=wait_s)
    decision = life.look(now)
    for _ in range(5):
        again_s = plan.decide(life.cronjob, now).again_s
        assert again_s is not None
        now += timedelta(seconds=again_s)
        decision = life.look(now)
        assert decision.start is not None
        assert now - decision.start <= timedelta(seconds=1.2)


def test_the_fixed_point_can_be_missed() -> None:
    """The property above fails where the time of the last Job is not remembered."""
    cronjob = a_cronjob("* * * * *", ConcurrencyPolicy.ALLOW, None)
    life = Life(cronjob)
    life.look(BEGIN + MINUTE)
    life.cronjob = replace(life.cronjob, status=CronJobStatus())
    with pytest.raises(AssertionError):
        life.look(BEGIN + MINUTE)
