"""What only a cluster of ours tells besides its API: its processes, the faults in force, and how
fast its time goes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import asking
from kubeherd.cluster.launcher.state import ClusterState, ProcessState
from kubeherd.cluster.launcher.supervisor.changes import Processes, fault_records
from kubeherd.faults import Fault
from kubeherd.history import Record, Speed

LOOK_S = 0.25
"""How often it is looked whether the speed is another one, in real seconds."""


class Own:
    """What has changed since it was asked last."""

    def __init__(self) -> None:
        self._processes = Processes()
        self._faults: Sequence[Fault] = ()

    def processes(self, states: Iterable[ProcessState], at: float) -> Iterator[Record]:
        """Records of what became of processes."""
        return (record for state in states if (record := self._processes.of(state, at)))

    def faults(self, listed: Sequence[Fault], at: float) -> Iterator[Record]:
        """Records of faults that have begun or ended."""
        before, self._faults = self._faults, listed
        return fault_records(before, listed, at)


async def follow_speed(rundir: RunDir, speed: float, tell: Callable[[Record], None]) -> None:
    """Tell how fast the time of a cluster goes when that is changed, until cancelled; `speed` is
    what it was to begin with."""
    seen_ns = 0
    while True:
        with suppress(LauncherError, OSError):
            written_ns = rundir.cluster_json.stat().st_mtime_ns
            if written_ns != seen_ns:
                before, speed = speed, rundir.load_settings().speed
                seen_ns = written_ns
                if speed != before:
                    tell(Speed(at=time.time(), speed=speed))
        await asyncio.sleep(LOOK_S)


async def follow(rundir: RunDir, tell: Callable[[Record], None], look_s: float) -> None:
    """Tell what becomes of the processes and faults of a cluster, asked every `look_s` real
    seconds, until cancelled; nothing while its supervisor does not answer."""
    own = Own()
    while True:
        with suppress(LauncherError):
            state, listed = await asyncio.to_thread(_look, rundir)
            for record in own.processes(state.processes, time.time()):
                tell(record)
            if listed is not None:
                for record in own.faults(listed, time.time()):
                    tell(record)
        await asyncio.sleep(look_s)


def _look(rundir: RunDir) -> tuple[ClusterState, Sequence[Fault] | None]:
    """The processes, and the faults if they are told: not while the cluster starts or stops."""
    state, supervised = lifecycle.current_state(rundir)
    if not supervised:
        return state, []
    try:
        return state, asking.listed(rundir)
    except LauncherError:
        return state, None
