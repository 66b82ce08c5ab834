"""Experiments as files: what comes with kubeherd, what is refused, and the way back to YAML."""

from pathlib import Path

import pytest

from kubeherd.chaos.experiment import ExperimentError, dump, load, parse
from kubeherd.chaos.running import SHIPPED, find, names

SMALL = """
name: small
title: A small one
teaches: nothing
duration_s: 10
"""


@pytest.mark.parametrize("name", names())
def test_every_shipped_experiment_is_one_and_comes_back_from_yaml(name: str):
    experiment = find(name)
    assert experiment.name == name
    assert experiment.teaches.strip()
    assert experiment.workload or experiment.steps
    assert parse(dump(experiment)) == experiment


def test_there_are_enough_of_them():
    assert len(names()) >= 15


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("duration_s: 10", "missing required field `name`"),
        (SMALL + "typo: 1", "unknown field `typo`"),
        (SMALL + "duration_s: -1", "$.duration_s"),
        (SMALL + "steps: [{add_nodes: 1}]", "steps[0]: give at_s or every_s"),
        (SMALL + "steps: [{at_s: 1}]", "steps[0]: give one of apply, patch"),
        (SMALL + "steps: [{at_s: [5, 1], add_nodes: 1}]", "steps[0].at_s: not a time"),
        (
            SMALL + "faults: [{at_s: 1, fault: {kind: crash}, whom: {}}]",
            "faults[0]: whom: give one of",
        ),
        (
            SMALL + "faults: [{at_s: 1, fault: {kind: store-full}, whom: {nodes: {}}}]",
            "faults[0]: store-full hurts a component, not nodes",
        ),
        (SMALL + "faults: [{at_s: 1, fault: {kind: bang}, whom: {nodes: {}}}]", "bang"),
        (
            SMALL + "random: [{every_s: -2, choices: [{fault: {kind: crash}, whom: {nodes: {}}}]}]",
            "random[0].every_s: not a time",
        ),
        ("[", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_by_its_path(text: str, why: str):
    with pytest.raises(ExperimentError) as refused:
        parse(text, "my.yaml")
    assert why in str(refused.value)
    assert str(refused.value).startswith("my.yaml")


def test_a_name_that_nobody_knows_names_those_that_are_there(tmp_path: Path):
    with pytest.raises(ExperimentError, match="zone-outage"):
        find("no-such")
    with pytest.raises(ExperimentError, match="cannot be read"):
        load(tmp_path)


def test_shipped_files_are_in_the_package():
    assert (SHIPPED / "zone-outage.yaml").is_file()
