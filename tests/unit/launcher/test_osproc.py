"""Processes by pid and start time; orphans are found and stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.launcher import state
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.exits import watch_exit
from kubeherd.cluster.launcher.processes.orphans import stop_orphans
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE, ProcessId
from kubeherd.cluster.launcher.state import ClusterState, ProcessState


@pytest.fixture
def sleeper(tmp_path: Path):
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_another_process_under_the_same_pid_is_not_touched(sleeper):
    process = sleeper()
    real = osproc.identify(process.pid)
    assert real is not None
    imposter = ProcessId(real.pid, real.start_ticks - 1)
    assert osproc.alive(real)
    assert not osproc.alive(imposter)
    assert not osproc.send_signal(imposter, signal.SIGKILL)
    assert process.poll() is None


def test_a_dead_process_is_gone_before_it_is_reaped(sleeper):
    process = sleeper()
    identity = osproc.identify(process.pid)
    assert identity is not None
    assert osproc.send_signal(identity, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not osproc.alive(identity)


async def test_watch_exit_of_a_process_that_is_no_child_of_ours(sleeper):
    process = sleeper()
    identity = osproc.identify(process.pid)
    assert identity is not None
    ended = asyncio.Event()
    watch_exit(identity, ended.set)
    assert not ended.is_set()
    process.kill()
    await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_watch_exit_of_a_process_that_is_gone(sleeper):
    process = sleeper()
    identity = osproc.identify(process.pid)
    assert identity is not None
    process.kill()
    process.wait()
    ended = asyncio.Event()
    watch_exit(identity, ended.set)
    await asyncio.wait_for(ended.wait(), PATIENCE_S)


def test_orphans_are_found_by_state_and_by_mark(sleeper, rundir: RunDir):
    recorded, marked, foreign = sleeper(), sleeper(**{MARKER_VARIABLE: str(rundir.root)}), sleeper()
    entry = ProcessState(
        name="apiserver",
        role=Role.APISERVER,
        phase=Phase.RUNNING,
        process=osproc.identify(recorded.pid),
    )
    state.write(rundir, ClusterState(processes=(entry,)))
    assert [[p.pid for p in group] for group in state.orphans(rundir)] == [
        [],
        [marked.pid],
        [],
        [recorded.pid],
        [],
    ]
    assert stop_orphans(rundir) == 2
    assert marked.wait(PATIENCE_S) == recorded.wait(PATIENCE_S) == -signal.SIGTERM
    assert foreign.poll() is None
    assert stop_orphans(rundir) == 0


def test_frozen_orphan_is_stopped(sleeper, rundir: RunDir):
    process = sleeper(**{MARKER_VARIABLE: str(rundir.root)})
    os.kill(process.pid, signal.SIGSTOP)
    assert stop_orphans(rundir) == 1
    assert process.wait(PATIENCE_S) == -signal.SIGTERM
