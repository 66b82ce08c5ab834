"""The agents' fork server as the launcher uses it: requests in, life signs of children out."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import pytest
from patience import PATIENCE_S

pytestmark = pytest.mark.integration


class Control:
    def __init__(self, lines: TextIO) -> None:
        self._lines = lines

    def send(self, text: str) -> None:
        self._lines.write(text + "\n")
        self._lines.flush()

    def receive(self) -> dict[str, Any]:
        answer = json.loads(self._lines.readline())
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def control() -> Iterator[Control]:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with theirs:
        command = [
            sys.executable,
            "-m",
            "kubeherd.agents.spawner",
            "--control-fd",
            str(theirs.fileno()),
        ]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
    with ours, ours.makefile("rw") as lines:
        yield Control(lines)
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
    assert process.wait(PATIENCE_S) == 0  # it ends when the socket closes


def test_a_child_that_cannot_start_is_reported_with_its_code(
    control: Control, tmp_path: Path
) -> None:
    log = tmp_path / "n.log"
    argv = ["--node", "n", "--kubeconfig-dir", str(tmp_path)]
    control.send(json.dumps({"id": "a", "argv": argv, "log": str(log), "env": {"X": "1"}}))
    started = control.receive()
    assert (started["id"], started["pid"] > 0) == ("a", True)
    failed = control.receive()
    assert (failed["id"], failed["event"]) == ("a", "failed")
    assert "cannot read kubeconfig" in failed["error"]
    assert control.receive() == {
        "id": "a",
        "event": "exited",
        "pid": started["pid"],
        "returncode": 1,
    }
    assert "cannot read kubeconfig" in log.read_text()


def test_wrong_usage_and_broken_requests(control: Control, tmp_path: Path) -> None:
    control.send("nonsense")
    assert "bad request" in control.receive()["error"]
    log = str(tmp_path / "missing" / "n.log")
    control.send(json.dumps({"id": 1, "argv": ["--node", "n"], "log": log}))
    assert "No such file" in control.receive()["error"]
    control.send(json.dumps({"id": 2, "argv": ["--bogus"], "log": str(tmp_path / "n.log")}))
    assert "pid" in control.receive()
    assert control.receive()["returncode"] == 2


def test_only_modules_of_a_cluster_are_started(control: Control, tmp_path: Path) -> None:
    control.send(
        json.dumps({"id": 3, "module": "this", "argv": [], "log": str(tmp_path / "n.log")})
    )
    assert control.receive() == {"id": 3, "error": "this is no part of a cluster"}
