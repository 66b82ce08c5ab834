"""What a cluster of ours tells of its processes, faults and speed, from one look to the next."""

import asyncio
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.following.own import Own, follow_speed
from kubeherd.history import FaultBegan, FaultEnded, Process, Record, Speed


def state(phase: Phase, pid: int | None = 7) -> ProcessState:
    process = ProcessId(pid, 1) if pid is not None else None
    return ProcessState(
        name="agent-1", role=Role.AGENT, phase=phase, process=process, nodes=("n-1", "n-2")
    )


def told(own: Own, *states: ProcessState) -> list[tuple[bool, str]]:
    records = list(own.processes(states, 5.0))
    assert all(isinstance(one, Process) and one.nodes == ("n-1", "n-2") for one in records)
    return [(one.running, one.why) for one in records if isinstance(one, Process)]


def test_a_process_is_told_of_when_it_changes():
    own = Own()
    assert told(own, state(Phase.RUNNING)) == [(True, "running")]
    assert told(own, state(Phase.RUNNING)) == []
    assert told(own, state(Phase.FROZEN)) == [(True, "frozen")]
    assert told(own, state(Phase.FROZEN, 8)) == [(True, "frozen")]  # another one
    assert told(own, state(Phase.DOWN, None)) == [(False, "down")]


def test_a_fault_is_told_of_when_it_begins_and_when_it_ends():
    own = Own()
    fault = Fault(id="f", target=Nodes(("n-1",)), effect=effects.Freeze())
    assert list(own.faults([fault], 5.0)) == [FaultBegan(at=5.0, fault=fault)]
    assert list(own.faults([fault], 6.0)) == []
    assert list(own.faults([], 7.0)) == [FaultEnded(at=7.0, id="f")]


async def test_another_speed_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kubeherd.following.own.LOOK_S", 0.001)
    rundir = RunDir(tmp_path / "c")
    rundir.prepare()
    rundir.save_settings(Settings(port=1, speed=5.0))
    told: asyncio.Queue[Record] = asyncio.Queue()
    following = asyncio.create_task(follow_speed(rundir, 1.0, told.put_nowait))
    async with asyncio.timeout(PATIENCE_S):
        for speed in (5.0, 20.0):
            rundir.save_settings(Settings(port=1, speed=speed))
            record = await told.get()
            assert isinstance(record, Speed)
            assert record.speed == speed
    assert told.empty()
    following.cancel()
