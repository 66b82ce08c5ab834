"""Verdicts in the terminal, as JSON and as JUnit XML: held, violated, and no data."""

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec.structs import replace

from kubeherd.chaos import report, running
from kubeherd.chaos.explaining import explanation
from kubeherd.chaos.outcome import Outcome
from kubeherd.chaos.pressure import Pressure
from kubeherd.chaos.promises import promises
from kubeherd.checks.checker import Checked, Verdict
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.history import Violation

FAULT = Fault(id="f-1", target=Nodes(("node-1",)), effect=effects.Crash())
WRONG = Violation(at=5.0, promise="one-pod", text="two pods on node-1", revision=77)


def outcome(*checked: Checked, problem: str = "", required: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        experiment="some",
        seed=7,
        verdict=Verdict(checked),
        faults=[FAULT],
        records=100,
        problem=problem,
        required=required,
        story=["     3.0 s  pods a/b created"],
    )


GOOD = Checked("one-pod", "One pod.", 40)
SILENT = Checked("budget", "A budget.", 0)
BAD = Checked("one-pod", "One pod.", 40, (WRONG, WRONG))


@pytest.mark.parametrize(
    ("run", "passed"),
    [
        (outcome(GOOD), True),
        (outcome(GOOD, SILENT), True),
        (outcome(GOOD, SILENT, required=("budget",)), False),
        (outcome(SILENT), False),
        (outcome(), False),
        (outcome(BAD), False),
        (outcome(GOOD, problem="not steady"), False),
    ],
)
def test_no_data_is_no_pass(run: Outcome, passed: bool):
    assert run.passed is passed


def test_who_fails_on_a_busy_machine_says_so():
    busy = {run.passed: replace(run, busy=0.981) for run in (outcome(GOOD), outcome(BAD))}
    told = "the machine was busy: for 98 % of the run something waited for a processor; "
    assert any(line.startswith(told) for line in report.text(busy[False], "again"))
    assert not any("busy" in line for line in report.text(busy[True], "again"))
    assert not any("busy" in line for line in report.text(outcome(BAD), "again"))


def test_the_kernel_counts_how_long_something_waited(tmp_path: Path):
    stalls = tmp_path / "cpu"
    stalls.write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=5000000\nfull total=0\n")
    pressure = Pressure(stalls)
    assert pressure.share() == 0.0
    stalls.write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=905000000\nfull total=0\n")
    assert pressure.share() == 1.0  # 900 s within this moment
    assert Pressure(tmp_path / "none").share() == 0.0


def test_a_person_sees_verdict_story_and_the_command_that_shows_it_again():
    lines = report.text(outcome(BAD, SILENT), "kubeherd chaos run some --seed 7")
    assert lines[:3] == [
        "some, seed 7: 100 records, 1 fault: crash 1",
        "  ✗ one-pod        40 events",
        "  ? not looked at, as nothing spoke of them: budget",
    ]
    assert "VIOLATED one-pod at revision 77: two pods on node-1" in lines
    assert "         3.0 s  pods a/b created" in lines
    assert lines[-2:] == ["and 1 violation more", "again: kubeherd chaos run some --seed 7"]
    assert report.text(outcome(GOOD), "")[-1] == "held: 1 promise"


def test_faults_that_did_not_begin_are_told():
    run = msgspec.structs.replace(outcome(GOOD), skipped=3)
    assert report.text(run, "")[0] == "some, seed 7: 100 records, 1 fault: crash 1; 3 skipped"
    assert json.loads(report.to_json([run]))[0]["skipped"] == 3


def test_a_promise_that_had_to_be_spoken_of_has_a_line():
    lines = report.text(outcome(GOOD, SILENT, required=("budget",)), "again")
    assert "  ? budget          0 events" in lines
    assert "no verdict: nothing spoke of budget" in lines
    assert not any("not looked at" in line for line in lines)


def test_an_experiment_is_explained_in_words():
    experiment = running.find("everything")
    lines = list(explanation(experiment, promises(experiment)))
    assert lines[0] == "everything: All of it at once, for a while"
    assert "            crash of one node, for 5 to 60 s (weight 4)" in lines
    assert "            restart graceful=no of leader (weight 2)" in lines
    assert any("verbs=create,update,patch,delete probability=0.1" in line for line in lines)
    assert lines[-1] == "promises  all: `kubeherd check --list` prints them"


def test_programs_get_all_of_it():
    tree = json.loads(report.to_json([outcome(BAD)]))
    assert tree[0]["passed"] is False
    assert tree[0]["verdict"]["checked"][0]["violations"][0]["text"] == "two pods on node-1"


def test_a_test_case_per_promise():
    runs = [outcome(BAD, SILENT), outcome(GOOD, problem="not steady")]
    suites = ElementTree.fromstring(report.junit(runs))
    first, second = list(suites)
    assert (first.get("tests"), first.get("failures")) == ("2", "1")
    failure, error = first[0].find("failure"), second[-1].find("error")
    assert failure is not None
    assert failure.get("message") == "two pods on node-1"
    assert first[1].find("skipped") is not None
    assert error is not None
    assert error.get("message") == "not steady"


def test_the_verdict_in_a_line_is_the_worst_that_there_is_to_say():
    assert report.verdict(outcome(GOOD, SILENT)) == "held: 1 promise"
    assert report.verdict(outcome(GOOD, problem="not steady")) == "no verdict: not steady"
    assert report.verdict(outcome(BAD, SILENT, required=("budget",))) == (
        "VIOLATED one-pod at revision 77: two pods on node-1"
    )
