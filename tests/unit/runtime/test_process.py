"""The life of a process, seen from its parent."""

import json
import os
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE_S

PRELUDE = """
import asyncio, sys
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
"""
POLITE = """
async def main(life):
    life.ready(port=7)
    life.ready(port=8)
    await life.stop.wait()
    return 5
"""
STUBBORN = """
async def main(life):
    life.ready()
    await life.stop.wait()
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)
"""
REFUSING = """
async def main(life):
    raise ProcessError("port 6443 is in use")
"""
CRASHING = """
async def main(life):
    {}["x"]
"""
RUN = """
sys.exit(process.run(main, "test", grace_period_s=float(sys.argv[1])))
"""


class Child:
    """A process with a readiness pipe."""

    def __init__(self, program: str, grace_period_s: float = 5.0) -> None:
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + program + RUN, str(grace_period_s)],
            env={**os.environ, "KUBEHERD_READY_FD": str(writer)},
            pass_fds=[writer],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        with open(reader, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor
            self.said = pipe.read()

    def end(self, *signals: signal.Signals) -> tuple[int, str, list[dict[str, object]]]:
        """Send signals, each when the one before was heard; (exit code, standard output, log)."""
        process = self.process
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        try:
            for index, number in enumerate(signals):
                while index and not any('"stopping"' in line for line in lines):
                    lines.append(process.stderr.readline())
                process.send_signal(number)
            lines += process.stderr.readlines()
            out = process.stdout.read()
            return process.wait(PATIENCE_S), out, [json.loads(line) for line in lines]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


def events(log: list[dict[str, object]]) -> list[object]:
    return [entry["event"] for entry in log]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_main_to_end_and_its_result_is_the_exit_code(number: signal.Signals) -> None:
    child = Child(POLITE)
    said = [json.loads(line) for line in child.said.splitlines()]
    assert said == [{"name": "test", "pid": child.process.pid, "port": 7}]
    code, _, log = child.end(number)
    assert code == 5
    assert events(log) == ["ready", "stopping", "stopped"]
    assert {entry["process"] for entry in log} == {"test"}


def test_main_is_cancelled_when_the_grace_period_is_over() -> None:
    code, out, log = Child(STUBBORN, 0.2).end(signal.SIGTERM)
    assert (code, out) == (1, "cleaned up\n")
    assert events(log) == ["ready", "stopping", "stop_took_too_long"]


def test_a_second_signal_does_not_wait() -> None:
    code, out, log = Child(STUBBORN, 60).end(signal.SIGTERM, signal.SIGTERM)
    assert (code, out) == (1, "cleaned up\n")
    assert events(log)[-1] == "stopping_at_once"


def test_a_reason_not_to_start_is_one_line_for_log_and_parent() -> None:
    child = Child(REFUSING)
    code, _, log = child.end()
    assert code == 1
    assert json.loads(child.said)["error"] == "port 6443 is in use"
    assert [(entry["event"], entry["error"]) for entry in log] == [
        ("process_failed", "port 6443 is in use")
    ]


def test_a_crash_is_logged_with_its_traceback_and_not_printed() -> None:
    code, out, log = Child(CRASHING).end()
    assert (code, out) == (1, "")
    assert events(log) == ["process_crashed"]
    assert "KeyError" in str(log[0]["exception"])
