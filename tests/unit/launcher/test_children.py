"""A started process tells that it serves, or why it never will, and when it ends."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import ProcessSpec, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.runtime.handshake import failure_in


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def spec(rundir: RunDir) -> ProcessSpec:
    return ProcessSpec("x", Role.AGENT, "standin", (), rundir.log("x"))


async def test_ready_then_killed(rundir: RunDir, standins: Callable):
    child = await standins()(spec(rundir))
    await asyncio.wait_for(child.ready.wait(), PATIENCE_S)
    assert child.failure == ""
    child.send_signal(signal.SIGKILL)
    await asyncio.wait_for(child.ended.wait(), PATIENCE_S)
    assert child.returncode == -signal.SIGKILL
    assert not osproc.alive(child.process)


async def test_announced_failure_is_no_readiness(rundir: RunDir, standins: Callable):
    child = await standins({"x": "refuse"})(spec(rundir))
    await asyncio.wait_for(child.ended.wait(), PATIENCE_S)
    assert not child.ready.is_set()
    assert child.failure == "the store is damaged"


async def test_log_is_private_and_appended_to(rundir: RunDir, standins: Callable):
    log: Path = rundir.log("x")
    for _ in range(2):
        child = await standins({"x": "crash"})(spec(rundir))
        await asyncio.wait_for(child.ended.wait(), PATIENCE_S)
        assert child.returncode == 1
    assert (log.read_text(), log.stat().st_mode & 0o777) == (  # noqa: ASYNC240 - a few bytes
        "the port is on fire\n" * 2,
        0o600,
    )


async def test_no_descriptor_is_left_behind(rundir: RunDir, standins: Callable):
    before = open_descriptors()
    child = await standins()(spec(rundir))
    await asyncio.wait_for(child.ready.wait(), PATIENCE_S)
    child.send_signal(signal.SIGKILL)
    await asyncio.wait_for(child.ended.wait(), PATIENCE_S)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        (b'{"pid": 1}\n', ""),
        (b'{"error": "no room"}\n', "no room"),
        (b"{", "it ended without saying why"),
    ],
)
def test_what_a_readiness_line_says(line: bytes, failure: str):
    assert failure_in(line) == failure
