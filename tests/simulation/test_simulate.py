"""`kubeherd simulate`: seeds in several processes, failures that are told, kept and made small."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kubeherd.chaos.command import chaos
from kubeherd.chaos.experiment import Experiment, dump, load, parse
from kubeherd.chaos.simulate import made_small, simulate
from kubeherd.chaos.workers import Task, outcomes, simulated
from kubeherd.controller.daemonset import strategy
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.strategy import Step
from kubeherd.history import Violation
from kubeherd.history.files import read

TEXT = """
name: small-storm
title: A roll while a few things break
teaches: nothing
cluster: {nodes: 3}
workload:
- apiVersion: apps/v1
  kind: DaemonSet
  metadata: {name: agent, namespace: default}
  spec:
    selector: {matchLabels: {app: agent}}
    template:
      metadata: {labels: {app: agent}}
      spec: {containers: [{name: main, image: "app:0"}]}
steps:
- {at_s: 3, roll: {kind: DaemonSet, name: agent}}
- {at_s: 12, roll: {kind: DaemonSet, name: agent}}
faults:
- {at_s: 2, for_s: 20, fault: {kind: pod-pull-failure}, whom: {nodes: {count: 1}}}
random:
- every_s: [3, 5]
  choices:
  - {fault: {kind: restart, graceful: false}, whom: {component: leader}, after_writes: [1, 5]}
  - {fault: {kind: freeze}, whom: {nodes: {count: 1}}, for_s: [1, 3]}
  - {fault: {kind: store-slow, delay_s: 0.05}, whom: {component: apiserver}, for_s: [1, 3]}
duration_s: 14
"""
DELAYED = '{labels: {app: agent}, annotations: {kubeherd.io/ready-delay-seconds: "9"}}'
HOPELESS = (
    TEXT.replace("name: small-storm", "name: hopeless")
    .replace("duration_s: 14", "duration_s: 4\nheals_within_s: 0.1")
    .replace("{labels: {app: agent}}", DELAYED)
)
"""What it promises cannot be: pods take longer to be ready again."""


REAL = strategy.unavailable


def blind(placement: Placement) -> int:
    """A mutant of the DaemonSet controller: old pods that do not work are not counted."""
    return placement.how_many(
        lambda rolling: rolling.unavailable and rolling.candidate not in strategy.OLD_UNAVAILABLE
    )


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(simulate, arguments)
    return result.exit_code, result.output


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    file = tmp_path / "small-storm.yaml"
    file.write_text(TEXT)
    return file


def test_every_seed_has_the_outcome_that_it_has_by_itself():
    experiment = parse(TEXT)
    tasks = [Task(experiment, seed) for seed in (1, 2)]
    found = {one.seed: one for one in outcomes(tasks, jobs=2)}
    assert found == {task.seed: simulated(task) for task in tasks}
    assert all(one.passed and one.faults for one in found.values())


class Poison:
    """An experiment that kills the process to which it is sent."""

    name = "poison"

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_worker_that_dies_costs_its_seed_and_nothing_else():
    experiment = parse(TEXT)
    tasks = [Task(Poison(), 1), Task(experiment, 2), Task(experiment, 3)]  # type: ignore[arg-type]
    found = {one.seed: one.problem for one in outcomes(tasks, jobs=2)}
    assert found == {1: "the process of the simulation died", 2: "", 3: ""}
    with pytest.raises(RuntimeError, match="every process"):
        list(outcomes(tasks, jobs=1))


def test_a_bug_of_kubeherds_is_an_outcome(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> Step:
        raise ZeroDivisionError("in the runner")

    monkeypatch.setattr("kubeherd.chaos.runner.script", broken)
    outcome = simulated(Task(parse(TEXT), 1))
    assert not outcome.passed
    assert outcome.problem == "the simulation failed: ZeroDivisionError: in the runner"


def test_seeds_that_hold_end_with_0(experiment: Path):
    code, output = invoke(str(experiment), "--seeds", "1..2", "--jobs", "1")
    assert (code, output) == (0, "2 of 2 seeds held\n")


def test_seeds_that_fail_are_told_and_kept(tmp_path: Path):
    file, history, html = tmp_path / "hopeless.yaml", tmp_path / "h.jsonl", tmp_path / "h.html"
    file.write_text(HOPELESS)
    code, output = invoke(
        str(file), "--seeds", "5..6", "--jobs", "2", "--no-minimise",
        "--record", str(history), "--html", str(html),
    )  # fmt: skip
    assert code == 1
    lines = output.splitlines()
    failed = [line for line in lines if line.startswith("hopeless, seed ")]
    assert {line.split(":")[0] for line in failed} == {"hopeless, seed 5", "hopeless, seed 6"}
    assert "0 of 2 seeds held" in lines
    assert f"again: kubeherd chaos run {file} --seed 5 --simulate" in lines
    records = list(read(tmp_path / "h-hopeless-6.jsonl"))
    assert any(isinstance(record, Violation) for record in records)
    assert "<html" in (tmp_path / "h-hopeless-5.html").read_text()


def test_what_fails_is_made_small_and_fails_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(strategy, "unavailable", blind)
    task = Task(parse(TEXT), 1)
    outcome = simulated(task)
    assert [one.promise for one in outcome.verdict.violations][:1] == ["daemonset-budget"]
    assert len(outcome.faults) >= 3
    small = made_small(task, outcome, tries=14)
    assert small is not None
    assert [one.fault.kind for one in small.faults] == ["pod-pull-failure"]
    assert 1 <= len(small.steps) <= 2
    assert _runs_alone(small, tmp_path) == 1
    monkeypatch.setattr(strategy, "unavailable", REAL)
    assert _runs_alone(small, tmp_path) == 0


def _runs_alone(small: Experiment, tmp_path: Path) -> int:
    file = tmp_path / "small.yaml"
    file.write_text(dump(small))
    assert load(file) == small
    result = CliRunner().invoke(chaos, ["run", str(file), "--simulate", "--seed", "1"])
    return result.exit_code
