"""What only a cluster of ours tells besides its API: its processes, the faults in force, and how
fast its time goes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.changes import Processes, fault_records
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import asking
from kubeherd.cluster.launcher.state import ClusterState, ProcessState
from kubeherd.faults import Fault
from kubeherd.history import Record, Speed

LOOK_S = 0.25
"""How often a cluster is looked at, in real seconds."""


class Own:
    """What has changed since it was asked last; `speed`: what it was to begin with."""

    def __init__(self, speed: float = 0.0) -> None:
        self._processes = Processes()
        self._faults: Sequence[Fault] = ()
        self._speed = speed

    def processes(self, states: Iterable[ProcessState], at: float) -> Iterator[Record]:
        """Records of what became of processes."""
        return (record for state in states if (record := self._processes.of(state, at)))

    def faults(self, listed: Sequence[Fault], at: float) -> Iterator[Record]:
        """Records of faults that have begun or ended."""
        before, self._faults = self._faults, listed
        return fault_records(before, listed, at)

    def speed(self, speed: float, at: float) -> Iterator[Record]:
        """A record if it is another one."""
        before, self._speed = self._speed, speed
        if speed != before:
            yield Speed(at=at, speed=speed)


class _Settings:
    """Those of a cluster, as far as others change them; the file is read when it is another one."""

    def __init__(self, rundir: RunDir) -> None:
        self._rundir = rundir
        self._written_ns = 0
        self._speed = 0.0

    def speed(self) -> float:
        """LauncherError, OSError if they cannot be read."""
        written_ns = self._rundir.cluster_json.stat().st_mtime_ns
        if written_ns != self._written_ns:
            self._speed = self._rundir.load_settings().speed
            self._written_ns = written_ns
        return self._speed


async def follow(rundir: RunDir, speed: float, tell: Callable[[Record], None]) -> None:
    """Tell what becomes of the processes, the faults and the speed of a cluster, until cancelled;
    nothing while its supervisor does not answer. `speed` is what it was to begin with."""
    own, settings = Own(speed), _Settings(rundir)
    while True:
        with suppress(LauncherError, OSError):
            for record in own.speed(settings.speed(), time.time()):
                tell(record)
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
