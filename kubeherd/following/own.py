"""What only a cluster of ours tells besides its API: its processes, and the faults in force."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import asking
from kubeherd.cluster.launcher.state import ClusterState, ProcessState
from kubeherd.faults import Fault
from kubeherd.history import FaultBegan, FaultEnded, Process, Record

LOOK_S = 0.25
"""How often a cluster is looked at, in real seconds."""


def changed(before: ProcessState | None, now: ProcessState) -> bool:
    """Whether a process has begun, ended, or got into another phase."""
    return before is None or (before.phase, before.process) != (now.phase, now.process)


def process_record(state: ProcessState, at: float) -> Process:
    """A process as a record of a history."""
    return Process(
        at=at,
        name=state.name,
        running=state.process is not None,
        ready=state.ready,
        why=str(state.phase),
        nodes=state.nodes,
    )


class Own:
    """What has changed since it was asked last."""

    def __init__(self) -> None:
        self._processes: dict[str, ProcessState] = {}
        self._faults: dict[str, Fault] = {}

    def processes(self, states: Iterable[ProcessState], at: float) -> Iterator[Record]:
        """Records of what became of processes."""
        for state in states:
            if changed(self._processes.get(state.name), state):
                yield process_record(state, at)
            self._processes[state.name] = state

    def faults(self, listed: Sequence[Fault], at: float) -> Iterator[Record]:
        """Records of faults that have begun or ended."""
        in_force = {fault.id: fault for fault in listed}
        for fault_id in self._faults.keys() - in_force.keys():
            yield FaultEnded(at=at, id=fault_id)
        for fault_id in in_force.keys() - self._faults.keys():
            yield FaultBegan(at=at, fault=in_force[fault_id])
        self._faults = in_force


async def follow(rundir: RunDir, tell: Callable[[Record], None]) -> None:
    """Tell what becomes of the processes and faults of a cluster, until cancelled; nothing while
    its supervisor does not answer."""
    own = Own()
    while True:
        with suppress(LauncherError):
            state, listed = await asyncio.to_thread(_look, rundir)
            for record in own.processes(state.processes, time.time()):
                tell(record)
            if listed is not None:
                for record in own.faults(listed, time.time()):
                    tell(record)
        await asyncio.sleep(LOOK_S)


def _look(rundir: RunDir) -> tuple[ClusterState, Sequence[Fault] | None]:
    """The processes, and the faults if they are told: not while the cluster starts or stops."""
    state, supervised = lifecycle.current_state(rundir)
    if not supervised:
        return state, []
    try:
        return state, asking.listed(rundir)
    except LauncherError:
        return state, None
