"""When a CronJob is due (spec cronjob-controller 3). Pure.

All moments are aware datetimes of the CronJob's own clock, which at a `--speed` runs ahead of the
wall's (spec cronjob-controller 7).
"""

from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec

from kubeherd.cluster.api.cron import Schedule
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.controller.cronjob.model import CronJob

MANY_MISSED = 100
PADDING_S = 0.1
"""So much after the time of the schedule a CronJob is looked at."""
_SECOND = timedelta(seconds=1)


class Missed(Enum):
    """How many times of the schedule have passed without a Job."""

    NONE = auto()
    FEW = auto()
    MANY = auto()


class NeverDue(ValueError):
    """The schedule can be read, but its times do not follow each other: February 31st."""

    def __init__(self) -> None:
        super().__init__("time difference between two schedules is less than 1 second")


class Recent(msgspec.Struct, frozen=True):
    """The newest time of the schedule that has passed, None: no such time since `earliest`."""

    earliest: datetime
    time: datetime | None
    missed: Missed


def most_recent(
    cronjob: CronJob, now: datetime, schedule: Schedule, *, heed_deadline: bool
) -> Recent:
    """The newest time until now, counted from the last Job (or the creation); NeverDue.

    `heed_deadline`: what is older than startingDeadlineSeconds does not count.
    """
    earliest = _earliest(cronjob, now, heed_deadline=heed_deadline)
    first = schedule.next_after(earliest)
    if first is not None and now < first:
        return Recent(earliest, None, Missed.NONE)
    second = schedule.next_after(first) if first is not None else None
    if first is not None and second is not None and now < second:
        return Recent(earliest, first, Missed.NONE)
    if first is None or second is None or second - first < _SECOND:
        raise NeverDue
    between_s = round((second - first).total_seconds())
    missed = int((now - first).total_seconds()) // between_s + 1
    # Roughly, for times need not be at equal distances: from two distances back, step by step.
    found = None
    time = schedule.next_after(first + timedelta(seconds=(missed - 2) * between_s))
    while time is not None and time <= now:
        found, time = time, schedule.next_after(time)
    return Recent(earliest, found, Missed.MANY if missed > MANY_MISSED else Missed.FEW)


def requeue_s(cronjob: CronJob, now: datetime, schedule: Schedule) -> float:
    """Seconds until the CronJob is to be looked at again; never negative."""
    try:
        recent = most_recent(cronjob, now, schedule, heed_deadline=False)
    except NeverDue:
        base = now
    else:
        base = recent.time or (recent.earliest if recent.missed is Missed.NONE else now)
    time = schedule.next_after(base)
    return max(0.0, (time - now).total_seconds() + PADDING_S) if time is not None else 0.0


def _earliest(cronjob: CronJob, now: datetime, *, heed_deadline: bool) -> datetime:
    """Since when times count. A last Job in the future does not: the cluster has had a higher
    speed, and would otherwise stand still until that time comes again (section 7)."""
    earliest = parse_time(cronjob.metadata.creation_timestamp)
    last, deadline_s = cronjob.status.last_schedule_time, cronjob.spec.starting_deadline_seconds
    if last is not None and parse_time(last) <= now:
        earliest = parse_time(last)
    if heed_deadline and deadline_s is not None:
        return max(earliest, _before(now, deadline_s))
    return earliest


def _before(now: datetime, seconds: int) -> datetime:
    """A moment so much earlier, at the beginning of time at the latest."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)
