"""What a supervisor writes into the history of a cluster that records: processes and faults."""

import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from runningsupervisor import Running, Standins, running

from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.faults import file
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.settings import Recorded, Settings, StoreKind
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.cluster.launcher.supervisor.recording import Recording
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.faults.fault import encode_all
from kubeherd.history import Began, Ended, FaultBegan, FaultEnded, Process, Record
from kubeherd.history.files import SUPERVISOR, read

RECORDS = Settings(port=1, record=Recorded.WRITES, seed=7, speed=3.0)
FREEZE = Fault(id="freeze", target=Nodes(("node-0",)), effect=effects.Freeze())
REBOOT = Fault(id="reboot", target=Nodes(("node-1",)), effect=effects.Reboot())
RUNS = ProcessState(name="node-0", role=Role.AGENT, phase=Phase.RUNNING, process=ProcessId(4))


Recorder = Callable[..., Recording]


@pytest.fixture
def recording(rundir: RunDir) -> Iterator[Recorder]:
    """Begins a life of a supervisor; those that do not end by then were killed."""
    lives: list[Recording] = []

    def begin(settings: Settings = RECORDS) -> Recording:
        lives.append(Recording(rundir, settings, LoopClock()))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


def told(rundir: RunDir) -> list[Record]:
    return list(read(rundir.supervisor_history))


async def begin(herd: Running, *faults: Fault) -> None:
    await herd.request(Request(op=Op.FAULT_BEGIN, faults=msgspec.Raw(encode_all(faults))))


async def test_processes_and_faults_of_a_run(rundir: RunDir, standins: Standins) -> None:
    async with running(rundir, standins(), record=Recorded.WRITES) as herd:
        up = (await herd.ask(Op.WAIT)).state
        await begin(herd, FREEZE, REBOOT)
        await herd.request(Request(op=Op.FAULT_UNDO))
        await herd.ask(Op.NODE_KILL, "node-0")
        manager = next(one for one in up.processes if one.name == "controller-manager")
        assert manager.process is not None
        osproc.send_signal(manager.process, signal.SIGKILL)
        await herd.until("controller-manager", lambda one: one.restarts == 1 and one.ready)
    records = told(rundir)
    assert isinstance(records[0], Began)
    assert isinstance(records[-1], Ended)
    lives = [(one.name, one.why) for one in records if isinstance(one, Process) and one.ready]
    ready = [name for name, why in lives if why == "running"]
    assert sorted(ready) == [
        "apiserver",
        "controller-manager",
        "controller-manager",
        "node-0",
        "node-0",
        "node-1",
        "node-1",
    ]  # fmt: skip - the second ones after the crash, the freeze, the reboot
    faults = [one for one in records if isinstance(one, FaultBegan | FaultEnded)]
    ids = [one.fault.id if isinstance(one, FaultBegan) else one.id for one in faults]
    assert ids == ["freeze", "reboot", "freeze", "crash", "crash"]
    frozen = [one for one in records if isinstance(one, Process) and one.why == "frozen"]
    assert [one.nodes for one in frozen] == [("node-0",)]
    down = [one.name for one in records if isinstance(one, Process) and one.why == "down"]
    assert down[-1] == "apiserver"
    assert stat.S_IMODE(rundir.supervisor_history.stat().st_mode) == 0o600


async def test_a_cluster_that_does_not_record_has_none(rundir: RunDir, standins: Standins) -> None:
    async with running(rundir, standins(), nodes=0) as herd:
        await herd.ask(Op.WAIT)
    assert not rundir.supervisor_history.exists()


def test_a_change_is_told_once_and_the_next_life_goes_on(
    rundir: RunDir, recording: Recorder
) -> None:
    first = recording()
    first.process(RUNS)
    first.process(msgspec.structs.replace(RUNS, restarts=3))
    first.end()
    second = recording()
    second.process(RUNS)
    records = told(rundir)
    assert [type(one) for one in records] == [Began, Process, Ended, Process]
    began = records[0]
    assert isinstance(began, Began)
    assert (began.seed, began.speed) == (7, 3.0)
    assert records[1] == Process(
        at=records[1].at, name="node-0", running=True, why="running", nodes=()
    )


def test_faults_end_with_a_supervisor_that_was_killed(rundir: RunDir, recording: Recorder) -> None:
    killed = recording()
    file.write(rundir, [FREEZE])
    killed.faults([FREEZE])
    recording()
    assert [type(one) for one in told(rundir)] == [Began, FaultBegan, FaultEnded]


def test_without_a_lasting_store_each_life_is_a_run(rundir: RunDir, recording: Recorder) -> None:
    settings = msgspec.structs.replace(RECORDS, store=StoreKind.MEMORY)
    recording(settings).process(RUNS)
    recording(settings)
    assert [type(one) for one in told(rundir)] == [Began]
    put_aside = rundir.supervisor_history.with_name("history-supervisor.jsonl.1")
    assert [type(one) for one in read(put_aside)] == [Began, Process]


def test_what_cannot_be_recorded_is_one_line(rundir: RunDir, recording: Recorder) -> None:
    rundir.supervisor_history.write_text("my diary\n")
    with pytest.raises(ProcessError, match=r"cannot record: .* is no history"):
        recording()
    assert rundir.supervisor_history.read_text() == "my diary\n"
    rundir.supervisor_history.unlink()
    rundir.supervisor_history.mkdir()
    with pytest.raises(ProcessError, match=r"cannot record: .*: Is a directory"):
        recording()


def test_all_that_a_cluster_has_recorded(rundir: RunDir) -> None:
    def names(settings: Settings) -> list[str]:
        return [path.name for path in rundir.histories(settings)]

    rundir.supervisor_history.touch()
    assert names(RECORDS) == []  # nothing but a supervisor has told: there is no run yet
    Path(rundir.history).touch()
    assert names(RECORDS) == ["history.jsonl", SUPERVISOR]
    assert names(Settings(port=1)) == []
