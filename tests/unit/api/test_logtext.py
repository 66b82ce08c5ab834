"""What is told of a container's log where its file is on another machine."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from kubeherd.cluster.api.helpers import logtext

NOW = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SPEED = 10.0


def age_s(moment: datetime) -> float:
    return (NOW - moment).total_seconds() * SPEED


def told(
    script: str,
    state: dict[str, Any],
    annotations: Mapping[str, str] | None = None,
    *,
    previous: bool = False,
) -> list[str]:
    """The lines of a container that runs this script, which began a minute ago."""
    meta = {
        "name": "p",
        "annotations": {f"kubeherd.io/{k}": v for k, v in (annotations or {}).items()},
    }
    spec = {"name": "c", "image": "i", "command": ["sh", "-c", script] if script else []}
    pod = {"metadata": meta, "spec": {"containers": [spec]}}
    entry = {"name": "c", "image": "i", "restartCount": 1, **state}
    return [line.decode() for line in logtext.told(pod, spec, entry, age_s, previous=previous)]


RUNNING = {"state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}}}
ENDED = {
    "lastState": {
        "terminated": {
            "startedAt": "2026-01-01T11:58:00Z", "finishedAt": "2026-01-01T11:58:03Z",
            "exitCode": 3,
        }
    },
    "state": {"waiting": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("echo a; sleep 300; echo b; sleep 300; echo c; sleep 9999",
         ["2026-01-01T11:59:00.000000Z stdout F a\n", "2026-01-01T11:59:30.000000Z stdout F b\n"]),
        ("sleep 9999", []),
        ("echo a; sleep 590; echo late; sleep 9999",
         ["2026-01-01T11:59:00.000000Z stdout F a\n"]),
    ],
)  # fmt: skip
def test_what_a_running_container_has_written_is_known_from_its_command(
    script: str, lines: list[str]
) -> None:
    assert told(script, RUNNING) == lines


def test_lines_that_repeat_are_told_to_a_limit() -> None:
    found = told("while true; do echo x; sleep 0.5; done", RUNNING)
    assert len(found) == logtext.MAX_LINES
    assert found[-1] == "2026-01-01T11:59:58.500000Z stdout F x\n"


def test_an_annotation_goes_before_the_command() -> None:
    scripted = {"log": "one\ntwo", "log-interval-seconds": "100"}
    found = told("echo never", RUNNING, scripted)
    assert [line.split()[-1] for line in found] == ["one", "two", "one", "two", "one", "two"]
    assert [line.split()[-1] for line in told("", RUNNING, {"log": "one"})] == ["one"]


def test_a_container_that_ended_has_said_what_was_due_by_then() -> None:
    found = told("echo a; sleep 30; echo b; sleep 60; echo c", ENDED, previous=True)
    assert [line.split()[-1] for line in found] == ["a", "b"]


def test_of_a_command_that_is_not_known_only_beginning_and_end_are_told() -> None:
    assert told("", RUNNING) == ["2026-01-01T11:59:00Z stdout F started (attempt 2, image i)\n"]
    assert [line.split(" F ")[1] for line in told("", ENDED, previous=True)] == [
        "started (attempt 1, image i)\n", "exited with code 3\n",
    ]  # fmt: skip
    assert told("echo a", {"state": {}}) == []
