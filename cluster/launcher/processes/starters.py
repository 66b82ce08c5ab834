"""How the supervisor starts processes: by its fork server.

Losing the fork server costs speed, not function: it is launched again a few times, and then
processes are started by exec.
"""

import asyncio
import os

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import ProcessSpec, Role
from kubeherd.cluster.launcher.processes.children import Child, start_subprocess
from kubeherd.cluster.launcher.processes.forkserver import NO_SYSTEM_AUTHORITIES
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE, ProcessId
from kubeherd.cluster.launcher.processes.spawner import Spawner, SpawnerGone
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE

SPAWNER_LAUNCHES = 3
SPAWN_TIMEOUT_S = 30.0


class ProcessStarter:
    """Starts the processes of one cluster; owns the fork server. `warm_up` comes first."""

    def __init__(self, rundir: RunDir) -> None:
        self._rundir = rundir
        self._environment = {
            **os.environ,
            **NO_SYSTEM_AUTHORITIES,
            MARKER_VARIABLE: str(rundir.root),
        }
        self._environment.pop(READY_FD_VARIABLE, None)
        self._launches_left = SPAWNER_LAUNCHES
        self._spawner = Spawner.inherited()
        self._tasks: asyncio.TaskGroup

    @property
    def spawner_process(self) -> ProcessId | None:
        """The fork server, if it runs."""
        return self._spawner.process if self._spawner and not self._spawner.gone else None

    def warm_up(self, tasks: asyncio.TaskGroup) -> None:
        """Give it its tasks, and start the fork server ahead of the processes."""
        self._tasks = tasks
        if self._spawner is not None:
            self._listen(self._spawner)
        self._usable_spawner()

    async def __call__(self, spec: ProcessSpec) -> Child:
        """Start a process; OSError if that does not work."""
        if spec.role is Role.ETCD:
            return self._start_etcd(spec)
        if spec.role is Role.DASHBOARD:  # forked it would carry all that the others have loaded
            return start_subprocess(spec, self._environment)
        while (spawner := self._usable_spawner()) is not None:
            try:
                async with asyncio.timeout(SPAWN_TIMEOUT_S):
                    return await spawner.start(spec, {})
            except (SpawnerGone, TimeoutError):
                spawner.give_up()
        return start_subprocess(spec, self._environment)

    def _start_etcd(self, spec: ProcessSpec) -> Child:
        from kubeherd.cluster.launcher.processes import etcd  # noqa: PLC0415 - few clusters have one

        child = etcd.start(spec, self._environment)
        asking = etcd.announce(child, spec.port, self._rundir.pki)
        self._tasks.create_task(asking, name="etcd's health")
        return child

    def close(self) -> None:
        """End the fork server."""
        if self._spawner is not None:
            self._spawner.give_up()

    def _usable_spawner(self) -> Spawner | None:
        if self._spawner is not None and not self._spawner.gone:
            return self._spawner
        if self._launches_left == 0:
            return None
        self._launches_left -= 1
        self._spawner = Spawner.launch(self._rundir, self._environment)
        self._listen(self._spawner)
        return self._spawner

    def _listen(self, spawner: Spawner) -> None:
        self._tasks.create_task(spawner.read_events(), name="spawner events")
