"""How the supervisor starts processes: agents by their fork server, everything else by exec.

Losing the fork server costs speed, not function: it is launched again a few times, and then
agents are started by exec as well.
"""

import asyncio
import os

from kubeherd.cluster.launcher.children import Child, start_subprocess
from kubeherd.cluster.launcher.osproc import MARKER_VARIABLE, ProcessId
from kubeherd.cluster.launcher.plan import ProcessSpec, Role
from kubeherd.cluster.launcher.rundir import RunDir
from kubeherd.cluster.launcher.spawner import Spawner, SpawnerGone
from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE

SPAWNER_LAUNCHES = 3
SPAWN_TIMEOUT_S = 30.0

_NO_SYSTEM_AUTHORITIES = {"SSL_CERT_FILE": os.devnull}
"""Each process is given its cluster's authority and trusts no other; aiohttp would read those of
the system when it is imported (20 ms, 2 MB)."""


class ProcessStarter:
    """Starts the processes of one cluster; owns the fork server."""

    def __init__(self, rundir: RunDir) -> None:
        self._rundir = rundir
        self._environment = {
            **os.environ,
            **_NO_SYSTEM_AUTHORITIES,
            MARKER_VARIABLE: str(rundir.root),
        }
        self._environment.pop(READY_FD_VARIABLE, None)
        self._launches_left = SPAWNER_LAUNCHES
        self._spawner: Spawner | None = None
        self._tasks: asyncio.TaskGroup

    @property
    def spawner_process(self) -> ProcessId | None:
        """The fork server, if it runs."""
        return self._spawner.process if self._spawner and not self._spawner.gone else None

    def warm_up(self, tasks: asyncio.TaskGroup, *, agents: bool) -> None:
        """Give it its tasks; if there are `agents` to come, start the fork server ahead of them."""
        self._tasks = tasks
        if agents:
            self._usable_spawner()

    async def __call__(self, spec: ProcessSpec) -> Child:
        """Start a process; OSError if that does not work."""
        while spec.role is Role.AGENT and (spawner := self._usable_spawner()) is not None:
            try:
                async with asyncio.timeout(SPAWN_TIMEOUT_S):
                    return await spawner.start(spec, {})
            except (SpawnerGone, TimeoutError):
                spawner.give_up()
        return start_subprocess(spec, self._environment)

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
        self._tasks.create_task(self._spawner.read_events(), name="spawner events")
        return self._spawner
