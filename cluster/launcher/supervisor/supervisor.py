"""The supervisor: owns all processes of one cluster and answers the control socket.

Start: the fork server of the processes, the cluster's own etcd if it has one, the API servers, and
while they load the nodes' certificates; when they serve, the controller managers and the agents;
then what the profile brings. Stop: agents, controller managers, API servers, etcd. What it is asked
meanwhile is carried out by `commands`.
Invariants: a supervisor that leaves, for whatever reason but its own SIGKILL, leaves no process
behind; one whose directory is gone leaves, and writes nothing into what is there instead.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from kubeherd.cluster.launcher import plan, state
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.starters import ProcessStarter
from kubeherd.cluster.launcher.settings import ETCD, Profile, Recorded, Settings
from kubeherd.cluster.launcher.supervisor import front
from kubeherd.cluster.launcher.supervisor.commands import Commands
from kubeherd.cluster.launcher.supervisor.controlserver import ControlServer
from kubeherd.cluster.launcher.supervisor.nodes import NodeCommands
from kubeherd.cluster.launcher.supervisor.renewal import Renewal
from kubeherd.cluster.launcher.supervisor.running import RunningCluster
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.profiles.applying import KindProfile
    from kubeherd.cluster.launcher.supervisor.recording import Recording

STATE_INTERVAL_S = 0.2
"""How often the file of the state is written at most: it counts when the supervisor was killed."""
LOOK_INTERVAL_S = 1.0
"""How often it is looked whether the directory is still there."""
PROFILE_INTERVAL_S = 0.1
"""How often it is looked whether what the profile brings is available."""


class Supervisor:
    """One cluster's supervisor; `run` is its life."""

    def __init__(
        self,
        rundir: RunDir,
        settings: Settings,
        starter: ProcessStarter,
        clock: Clock,
        rng: Rng,
        own_process: osproc.ProcessId,
        *,
        accept_loss_after: int | None = None,
        in_place: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rundir = rundir
        self._settings = settings
        self._starter = starter
        self._clock = clock
        self._rng = rng
        self._own_process = own_process
        self._accept_loss_after = accept_loss_after
        self._in_place = in_place
        self._profile = _profile(rundir, settings)
        self._recording = _recording(rundir, settings, clock)
        self._cluster: RunningCluster
        self._open = contextlib.AsyncExitStack()

    @property
    def failure(self) -> str:
        """Why the start of the cluster was given up; empty if it was not."""
        return self._cluster.failure

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Bring the cluster up and keep it until `stop` is set or somebody asks for its end.

        `started` is called once the control socket answers.
        """
        async with asyncio.TaskGroup() as tasks:
            self._cluster = cluster = RunningCluster(
                self._rundir,
                self._starter,
                self._clock,
                self._rng,
                self._own_process,
                tasks,
                self._recording,
            )
            if self._profile is not None:
                cluster.wait_for(f"profile {self._settings.profile}")
            commands = Commands(cluster)
            self._forget_faults(commands)
            control = ControlServer(self._rundir, commands.answer)
            await control.start()
            started()
            bringing_up = tasks.create_task(self._bring_up(tasks), name="bring up")
            cluster.helpers += [
                bringing_up,
                tasks.create_task(self._leave_when(stop), name="stop"),
                tasks.create_task(self._leave_without_directory(), name="directory"),
                tasks.create_task(self._write_state(), name="state"),
            ]
            try:
                await cluster.leaving.wait()
            finally:
                bringing_up.cancel()
                async with cluster.changing:
                    await cluster.herd.stop_all()
                if self._recording is not None:
                    self._recording.end()
                await self._open.aclose()
                self._starter.close()
                cluster.herd.end_supervision()
                cluster.emptied()
                self._save_state()  # first: whose question the end cuts off reads there why
                await control.close()
                for task in cluster.helpers:
                    task.cancel()
                self._forget_faults(commands)

    async def _bring_up(self, tasks: asyncio.TaskGroup) -> None:
        cluster = self._cluster
        try:
            async with cluster.changing:
                await self._start_processes(tasks)
            await cluster.until_ready(lambda: cluster.snapshot().ready)
            if self._profile is not None:
                await self._give(self._profile)
        except LauncherError as error:
            cluster.fail(str(error))

    async def _start_processes(self, tasks: asyncio.TaskGroup) -> None:
        settings, rundir, cluster = self._settings, self._rundir, self._cluster
        herd = cluster.herd
        self._starter.warm_up(tasks)
        if settings.joined:
            await self._start_joined(tasks)
            return
        pki = await asyncio.to_thread(
            ClusterPki.ensure, rundir, settings.server, settings.certified, self._clock.now
        )
        cluster.nodes = nodes = NodeCommands(rundir, settings, pki, herd)
        if settings.has_own_etcd:
            await self._start_etcd(pki)
        await self._open.enter_async_context(front.opened(settings, rundir))
        herd.start(plan.api_servers(settings, rundir, self._accept_loss_after))
        await nodes.prepare()
        await cluster.until_ready(lambda: herd.ready(settings.api_servers))
        herd.start(plan.api_servers(settings, rundir))  # a restart accepts no further loss
        herd.start(plan.controller_managers(settings, rundir))
        if self._profile is not None:
            await asyncio.to_thread(self._profile.prepare)
        nodes.start_all()
        if settings.dashboard:
            herd.start([plan.dashboard(rundir)])
        renewal = Renewal(
            pki, lambda: nodes.settings, self._clock, cluster.changing, self._in_place
        )
        cluster.helpers.append(tasks.create_task(renewal.run(), name="certificates"))
        cluster.up()

    async def _start_etcd(self, pki: ClusterPki) -> None:
        herd = self._cluster.herd
        await asyncio.to_thread(pki.ensure_etcd)
        herd.start([plan.etcd(self._settings, self._rundir)])
        await self._cluster.until_ready(lambda: herd.ready([ETCD]))

    async def _start_joined(self, tasks: asyncio.TaskGroup) -> None:
        """Start the nodes of a cluster that is elsewhere, and keep their certificates good."""
        from kubeherd.cluster.launcher.joining import rotation  # noqa: PLC0415 - few join

        settings, rundir, cluster = self._settings, self._rundir, self._cluster
        cluster.nodes = nodes = NodeCommands(rundir, settings, None, cluster.herd)
        await nodes.prepare()
        nodes.start_all()
        renewing = rotation.Rotation(
            rundir,
            lambda: nodes.settings.node_names if self._in_place() else (),
            self._clock,
            self._rng.child("rotation"),
        )
        cluster.helpers.append(tasks.create_task(renewing.run(), name="certificates"))
        cluster.up()

    async def _give(self, profile: "KindProfile") -> None:
        """Give the cluster what its profile has, and wait until that is available."""
        while late := await asyncio.to_thread(profile.advance):
            self._cluster.wait_for(late)
            await self._clock.sleep(PROFILE_INTERVAL_S)
        self._cluster.wait_for("")

    def _forget_faults(self, commands: Commands) -> None:
        if self._in_place():
            commands.forget_faults()

    async def _leave_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._cluster.leaving.set()

    async def _leave_without_directory(self) -> None:
        while self._in_place():
            await self._clock.sleep(LOOK_INTERVAL_S)
        self._cluster.fail(f"{self._rundir.root} was deleted, moved away or replaced")

    async def _write_state(self) -> None:
        while True:
            change = self._cluster.change
            self._save_state()
            await self._clock.sleep(STATE_INTERVAL_S)
            await change.wait()

    def _save_state(self) -> None:
        with contextlib.suppress(LauncherError):  # a full disk must not take the cluster down
            if self._in_place():
                state.write(self._rundir, self._cluster.snapshot())


def _recording(rundir: RunDir, settings: Settings, clock: Clock) -> "Recording | None":
    """What writes down processes and faults, if the cluster records. ProcessError."""
    if settings.record is Recorded.NOTHING:
        return None
    from kubeherd.cluster.launcher.supervisor.recording import Recording  # noqa: PLC0415 - off mostly

    return Recording(rundir, settings, clock)


def _profile(rundir: RunDir, settings: Settings) -> "KindProfile | None":
    """What a cluster has besides its nodes; a bare one does not even import it."""
    if settings.profile is Profile.BARE:
        return None
    from kubeherd.cluster.launcher.profiles.applying import KindProfile  # noqa: PLC0415

    return KindProfile(rundir, settings)
