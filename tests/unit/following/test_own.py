"""What a cluster of ours tells of its processes, faults and speed, from one look to the next."""

from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.following.own import Own
from kubeherd.history import FaultBegan, FaultEnded, Process, Speed


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


def test_another_speed_is_told_once():
    own = Own(5.0)
    assert list(own.speed(5.0, 4.0)) == []
    assert list(own.speed(20.0, 5.0)) == [Speed(at=5.0, speed=20.0)]
    assert list(own.speed(20.0, 6.0)) == []
