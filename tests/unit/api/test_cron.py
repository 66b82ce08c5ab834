"""Schedules as github.com/robfig/cron v3 reads them; texts as Kubernetes 1.36 shows them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubeherd.cluster.api import cron


@pytest.mark.parametrize(
    "schedule",
    ["* * * * *", "*/5 0-23/2 1,15 jan-MAR sun", "@daily", "@every 1h30m", "? ? ? ? ?",
     "5/10 * * * 6", "TZ=Europe/Berlin 0 4 * * *", " 0  0 * * * "],
)  # fmt: skip
def test_a_good_schedule_has_no_problem(schedule: str) -> None:
    assert cron.problem(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("a b", "expected exactly 5 fields, found 2: [a b]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("a * * * *",
         'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every", "unrecognized descriptor: @every"),
        ("", "empty spec string"),
        ("TZ=0", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ("TZ=Nowhere * * * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
    ],
)  # fmt: skip
def test_a_bad_schedule_is_refused_in_the_words_of_the_library(schedule: str, problem: str) -> None:
    assert cron.problem(schedule) == problem


RECORDED = json.loads((Path(__file__).parents[2] / "data" / "cron-moments.json").read_text())
"""[zone, fields, from, the next four moments], by robfig/cron v3 itself; most begin in the days
before a zone puts its clocks forward or back."""


def test_moments_are_those_of_the_library_also_where_clocks_are_changed() -> None:
    wrong = []
    for zone, fields, start, wanted in RECORDED:
        schedule, moment, found = cron.parse(f"TZ={zone} {fields}"), seconds(start), []
        for _ in wanted:
            following = schedule.next_after(moment)
            found.append(0 if following is None else int(following.timestamp()))
            moment = following or moment
        if found != wanted:
            wrong.append((zone, fields, start, wanted, found))
    assert not wrong
    assert len(RECORDED) > 400


def seconds(since_1970: int) -> datetime:
    return datetime.fromtimestamp(since_1970, UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "following"),
    [
        ("@hourly", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
        ("@daily", "2026-01-01T00:00:01", "2026-01-02T00:00:00"),
        ("@midnight", "2026-01-31T12:00:00", "2026-02-01T00:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@monthly", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:05.500000", "2026-01-01T01:30:05"),
        ("@every 90ms", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("@every 1.9s", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        # Both fields of days restricted: one of them is enough. A star in one: both must match.
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 */13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 * * 5", "2026-01-03T00:00:00", "2026-01-09T00:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
    ],
)
def test_next(schedule: str, after: str, following: str) -> None:
    moment = datetime.fromisoformat(f"{after}+00:00")
    assert cron.parse(schedule).next_after(moment) == datetime.fromisoformat(f"{following}+00:00")


@pytest.mark.parametrize("schedule", ["59 23 31 2 *", ", * * * *", "0 0 29 2 *"])
def test_a_schedule_without_a_time_in_five_years_never_comes(schedule: str) -> None:
    """The year 2100 has no leap day, and the search begins in 2096."""
    assert cron.parse(schedule).next_after(seconds(4_000_000_000)) is None


def test_a_zone_that_left_out_a_whole_day_does_not_hang() -> None:
    """Samoa had no 30th of December 2011; the library never comes back from there."""
    schedule = cron.parse("TZ=Pacific/Apia 0 0 31 12 *")
    found = schedule.next_after(datetime(2011, 12, 28, tzinfo=UTC))
    assert found == datetime(2011, 12, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize("name", ["bad timezone", "../etc/passwd", "/etc/localtime", "Europe"])
def test_a_zone_that_nobody_knows(name: str) -> None:
    with pytest.raises(cron.InvalidSchedule, match=f"unknown time zone {name}"):
        cron.zone(name)


def test_zones_without_a_name_are_utc() -> None:
    assert cron.zone("") is cron.zone("UTC") is cron.zone("Local") is UTC
