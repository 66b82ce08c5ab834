"""Schedules as github.com/robfig/cron v3 reads them; texts as Kubernetes 1.36 shows them."""

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
    ],
)  # fmt: skip
def test_a_bad_schedule_is_refused_in_the_words_of_the_library(schedule: str, problem: str) -> None:
    assert cron.problem(schedule) == problem
