"""The state of a cluster's processes, as told over the control socket and kept in state.json.

The file is what makes orphans findable: if the supervisor itself is killed, its processes are
known by pid and start time.
"""

import os

import msgspec

from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.osproc import ProcessId


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process; `process` is None while it does not run. `port`: where it alone
    answers, if it said so; 0 for none."""

    name: str
    role: Role
    phase: Phase
    ready: bool = False
    process: ProcessId | None = None
    nodes: tuple[str, ...] = ()
    restarts: int = 0
    port: int = 0


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of a cluster. `failure` says why its start was given up.

    `waiting` says what it is waited for when all processes serve: something of its profile.
    """

    supervisor: ProcessId | None = None
    spawner: ProcessId | None = None
    processes: tuple[ProcessState, ...] = ()
    failure: str = ""
    waiting: str = ""

    @property
    def ready(self) -> bool:
        """Whether every process that should run has said that it serves."""
        return all(p.ready for p in self.processes if p.phase is not Phase.DOWN)


def read(rundir: RunDir) -> ClusterState:
    """The last state that was written, however old; empty if there is none or it is damaged."""
    try:
        return msgspec.json.decode(rundir.state_json.read_bytes(), type=ClusterState)
    except (OSError, msgspec.DecodeError):
        return ClusterState()


def write(rundir: RunDir, state: ClusterState) -> None:
    """Replace state.json."""
    write_private(rundir.state_json, msgspec.json.encode(state) + b"\n", durable=False)


def orphans(rundir: RunDir) -> list[list[ProcessId]]:
    """Living processes of this cluster but ourselves, in groups in the order of stopping.

    First a supervisor that lost its directory: it would start the others again. Then agents (with
    what is not in the state file but carries the cluster's mark), the controller managers, the API
    servers and etcd. Meant for when no supervisor has the lock.
    """
    last = read(rundir)
    marked = [process for process in osproc.marked(rundir.root) if process.pid != os.getpid()]
    supervisors = [process for process in marked if osproc.leads_session(process)]
    groups: dict[Role, list[ProcessId]] = {
        Role.DASHBOARD: [],
        Role.AGENT: [],
        Role.CONTROLLER_MANAGER: [],
        Role.APISERVER: [],
        Role.ETCD: [],
    }
    known = set(supervisors)
    for entry in last.processes:
        if entry.process is not None and osproc.alive(entry.process):
            groups[entry.role].append(entry.process)
            known.add(entry.process)
    if last.spawner is not None and osproc.alive(last.spawner):
        groups[Role.AGENT].append(last.spawner)
        known.add(last.spawner)
    groups[Role.AGENT] += [process for process in marked if process not in known]
    return [*([supervisors] if supervisors else []), *groups.values()]
