"""docs/reference/experiments.md names every key, and its example is an experiment."""

import re
from pathlib import Path

import msgspec
import pytest

from kubeherd.chaos import experiment

PAGE = (Path(__file__).parents[3] / "docs/reference/experiments.md").read_text()
NAMED = set(re.findall(r"`(\w+)`", PAGE))
PARTS = [
    part
    for part in vars(experiment).values()
    if isinstance(part, type)
    and issubclass(part, msgspec.Struct)
    and part.__module__ == experiment.__name__
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_is_named(part: type[msgspec.Struct]):
    assert {field.name for field in msgspec.structs.fields(part)} <= NAMED


def test_the_example_is_one():
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    parsed = experiment.parse(example[1], "the example")
    assert parsed.command
    assert len(parsed.random[0].choices) == 2
