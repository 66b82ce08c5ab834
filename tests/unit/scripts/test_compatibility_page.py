"""The page on compatibility is what its script makes of the data, and the tests that it names are
there."""

from pathlib import Path

import msgspec
import pytest
import update_compatibility as script
from update_compatibility import Compatibility, Difference, Feature, Replay, State

HERE = "tests/unit/scripts/test_compatibility_page.py"
NAME = "test_the_page_is_what_the_script_makes"


def data(**changes: object) -> Compatibility:
    row = Feature("Verbs", "get", State.PARTIAL, [f"{HERE}::{NAME}"], why="not all")
    return Compatibility("# Title\n", "The end.\n", [msgspec.structs.replace(row, **changes)])


def test_the_page_is_what_the_script_makes() -> None:
    assert script.PAGE.read_text() == script.page(script.load())


def test_every_feature_has_its_tests_and_reasons() -> None:
    assert script.problems(script.load()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tests": [f"{HERE}::test_of_old"]}, f"no such test: {HERE}::test_of_old"),
        ({"tests": ["tests/gone.py::test_x"]}, "no such test: tests/gone.py::test_x"),
        ({"tests": []}, "get: no test shows it"),
        ({"why": ""}, "get: partial, but why?"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, object], problem: str) -> None:
    assert script.problems(data(**changes)) == [problem]


def test_a_page() -> None:
    whole = data()
    difference = Difference("Because.", ["a/1", "b/2"])
    whole.replay = [Replay("Requests", "Recorded.", 8, [difference])]
    assert script.page(whole) == (
        "# Title\n\n## Verbs\n\n| feature | state | in detail | shown by |\n|---|---|---|---|\n"
        "| get | partial | not all | `compatibility_page` |\n\n## Requests\n\n"
        "Recorded. 6 of 8 agree (75.0 %).\n\n- 2: Because.\n  `a/1`, `b/2`\n\nThe end.\n"
    )


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("", []),
        ("<failure/>", [f"failed: {HERE}::{NAME}"]),
        ("<skipped/>", [f"failed: {HERE}::{NAME}"]),
    ],
)
def test_reports_must_show_the_tests(tmp_path: Path, inside: str, found: list[str]) -> None:
    report = tmp_path / "junit.xml"
    module = HERE.removesuffix(".py").replace("/", ".")
    case = f'<testcase classname="{module}" name="{NAME}[x]">{inside}</testcase>'
    report.write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    assert script.unproven(data(), [report]) == found
    report.write_text("<testsuites/>")
    assert script.unproven(data(), [report]) == [f"did not run: {HERE}::{NAME}"]


def test_a_replay_must_differ_as_is_explained() -> None:
    differences = [Difference("a", ["x", "y"]), Difference("b", ["z"], passing=True)]
    replay = Replay("r", "t", 9, differences)
    assert script.unexplained(replay, {"x", "y"}) == []
    assert script.unexplained(replay, {"x", "new"}) == [
        "differs without an explanation: new",
        "agrees by now: y",
    ]
