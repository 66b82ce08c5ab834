"""Logs: one JSON object a line, no secrets."""

import json
from collections.abc import Iterator

import pytest
import structlog

from kubeherd.cluster.runtime import logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_an_entry_says_when_who_and_what(capfd: pytest.CaptureFixture[str]) -> None:
    logging.configure("agent-1")
    structlog.get_logger().info("pod_started", pod="ns/p", took_s=1.5, what={1, 2})
    (entry,) = lines(capfd)
    assert entry.pop("time")
    assert entry == {
        "level": "info",
        "process": "agent-1",
        "event": "pod_started",
        "pod": "ns/p",
        "took_s": 1.5,
        "what": "{1, 2}",
    }


def test_secrets_never_reach_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    logging.configure("x")
    structlog.get_logger().info(
        "e",
        token="s3cret",
        request={"headers": [{"Authorization": "Bearer s3cret"}], "path": "/x"},
        obj={"kind": "Secret", "metadata": {"name": "n"}, "data": {"k": "s3cret"}},
        items=[{"kind": "Secret", "stringData": {"k": "s3cret"}}],
    )
    (entry,) = lines(capfd)
    assert "s3cret" not in json.dumps(entry)
    assert entry["obj"] == {"kind": "Secret", "metadata": {"name": "n"}}
    assert entry["request"] == {"headers": [{"Authorization": "[redacted]"}], "path": "/x"}


def test_the_level_of_the_environment_counts(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.configure("x")
    structlog.get_logger().debug("quiet")
    monkeypatch.setenv(logging.LEVEL_VARIABLE, "debug")
    logging.configure("x")
    structlog.get_logger().debug("loud")
    assert [entry["event"] for entry in lines(capfd)] == ["loud"]
    with pytest.raises(ValueError, match="log level must be one of"):
        logging.configure("x", level="chatty")
