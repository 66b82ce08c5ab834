"""The supervisor: owns all processes of one cluster and answers the control socket.

Start: the fork server of the processes, the cluster's own etcd if it has one, the API servers, and
while they load the nodes' certificates; when they serve, the controller managers and the agents;
then what the profile brings. Stop: agents, controller managers, API servers, etcd. What hurts the
cluster on command is in `faults`, which is imported with the first fault; until then nothing looks
for any.
Invariants: a supervisor that leaves, for whatever reason but its own SIGKILL, leaves no process
behind; one whose directory is gone leaves, and writes nothing into what is there instead.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING

import msgspec
import structlog

from kubeherd.cluster.launcher import front, plan, state
from kubeherd.cluster.launcher.control import Op, Reply, Request
from kubeherd.cluster.launcher.controlserver import ControlServer
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.herd import Herd
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.nodes import NodeCommands
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.starters import ProcessStarter
from kubeherd.cluster.launcher.renewal import Renewal
from kubeherd.cluster.launcher.settings import (
    ETCD,
    NODE_START_TIMEOUT_S,
    Profile,
    Recorded,
    Settings,
)
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.faults.commands import FaultCommands
    from kubeherd.cluster.launcher.profiles.applying import KindProfile
    from kubeherd.cluster.launcher.recording import Recording

PROGRESS_INTERVAL_S = 0.05
STATE_INTERVAL_S = 0.2
"""How often the file of the state is written at most: it counts when the supervisor was killed."""
LOOK_INTERVAL_S = 1.0
"""How often it is looked whether the directory is still there."""
READY_TIMEOUT_S = 60.0
"""For processes that a command starts, or starts again; more for each of their nodes."""
PROFILE_INTERVAL_S = 0.1
"""How often it is looked whether what the profile brings is available."""

_log = structlog.get_logger(__name__)


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
        self._changing = asyncio.Lock()
        self._tick = asyncio.Event()
        self._leaving = asyncio.Event()
        self._empty = asyncio.Event()
        self._brought_up = False
        self._failure = ""
        self._profile = _profile(rundir, settings)
        self._recording = _recording(rundir, settings, clock)
        self._waiting = f"profile {settings.profile}" if self._profile is not None else ""
        self._herd: Herd
        self._nodes: NodeCommands
        self._faults: FaultCommands | None = None
        self._tasks: asyncio.TaskGroup
        self._helpers: list[asyncio.Task[None]] = []
        self._open = contextlib.AsyncExitStack()

    @property
    def failure(self) -> str:
        """Why the start of the cluster was given up; empty if it was not."""
        return self._failure

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Bring the cluster up and keep it until `stop` is set or somebody asks for its end.

        `started` is called once the control socket answers.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._herd = Herd(tasks, self._starter, self._clock, self._rng, self._changed)
            if self._recording is not None:
                self._herd.follow = self._recording.process
            self._forget_faults()
            control = ControlServer(self._rundir, self._handle)
            await control.start()
            started()
            bringing_up = tasks.create_task(self._bring_up(tasks), name="bring up")
            self._helpers += [
                bringing_up,
                tasks.create_task(self._leave_when(stop), name="stop"),
                tasks.create_task(self._leave_without_directory(), name="directory"),
                tasks.create_task(self._write_state(), name="state"),
            ]
            try:
                await self._leaving.wait()
            finally:
                bringing_up.cancel()
                async with self._changing:
                    await self._herd.stop_all()
                if self._recording is not None:
                    self._recording.end()
                await self._open.aclose()
                self._starter.close()
                self._herd.end_supervision()
                self._empty.set()
                self._changed()
                self._save_state()  # first: whose question the end cuts off reads there why
                await control.close()
                for task in self._helpers:
                    task.cancel()
                self._save_state()
                self._forget_faults()

    def snapshot(self) -> ClusterState:
        """The state of everything, now."""
        return ClusterState(
            supervisor=None if self._empty.is_set() else self._own_process,
            spawner=self._starter.spawner_process,
            processes=self._herd.snapshot(),
            failure=self._failure,
            waiting=self._waiting,
        )

    async def _bring_up(self, tasks: asyncio.TaskGroup) -> None:
        try:
            async with self._changing:
                await self._start_processes(tasks)
            await self._until_ready(lambda: self.snapshot().ready)
            if self._profile is not None:
                await self._give(self._profile)
        except LauncherError as error:
            self._fail(str(error))

    async def _start_processes(self, tasks: asyncio.TaskGroup) -> None:
        settings, rundir = self._settings, self._rundir
        self._starter.warm_up(tasks)
        if settings.joined:
            await self._start_joined(tasks)
            return
        pki = await asyncio.to_thread(
            ClusterPki.ensure, rundir, settings.server, settings.certified, self._clock.now
        )
        self._nodes = NodeCommands(rundir, settings, pki, self._herd)
        if settings.has_own_etcd:
            await self._start_etcd(pki)
        await self._open.enter_async_context(front.opened(settings, rundir))
        self._herd.start(plan.api_servers(settings, rundir, self._accept_loss_after))
        await self._nodes.prepare()
        await self._until_ready(lambda: self._herd.ready(settings.api_servers))
        self._herd.start(plan.api_servers(settings, rundir))  # a restart accepts no further loss
        self._herd.start(plan.controller_managers(settings, rundir))
        if self._profile is not None:
            await asyncio.to_thread(self._profile.prepare)
        self._nodes.start_all()
        if settings.dashboard:
            self._herd.start([plan.dashboard(rundir)])
        renewal = Renewal(
            pki, lambda: self._nodes.settings, self._clock, self._changing, self._in_place
        )
        self._helpers.append(tasks.create_task(renewal.run(), name="certificates"))
        self._brought_up = True
        self._changed()

    async def _start_etcd(self, pki: ClusterPki) -> None:
        await asyncio.to_thread(pki.ensure_etcd)
        self._herd.start([plan.etcd(self._settings, self._rundir)])
        await self._until_ready(lambda: self._herd.ready([ETCD]))

    async def _start_joined(self, tasks: asyncio.TaskGroup) -> None:
        """Start the nodes of a cluster that is elsewhere, and keep their certificates good."""
        from kubeherd.cluster.launcher.joining import rotation  # noqa: PLC0415 - few join

        settings, rundir = self._settings, self._rundir
        self._nodes = NodeCommands(rundir, settings, None, self._herd)
        await self._nodes.prepare()
        self._nodes.start_all()
        renewing = rotation.Rotation(
            rundir,
            lambda: self._nodes.settings.node_names if self._in_place() else (),
            self._clock,
            self._rng.child("rotation"),
        )
        self._helpers.append(tasks.create_task(renewing.run(), name="certificates"))
        self._brought_up = True
        self._changed()

    async def _give(self, profile: "KindProfile") -> None:
        """Give the cluster what its profile has, and wait until that is available."""
        while late := await asyncio.to_thread(profile.advance):
            self._wait_for(late)
            await self._clock.sleep(PROFILE_INTERVAL_S)
        self._wait_for("")

    def _wait_for(self, what: str) -> None:
        if what != self._waiting:
            self._waiting = what
            self._changed()

    async def _until_ready(self, ready: Callable[[], bool]) -> None:
        """Wait for processes that are starting; LauncherError once there is no hope."""
        while not ready():
            hopeless = self._herd.hopeless()
            if hopeless is not None:
                log = hopeless.spec.log
                why = hopeless.failure or last_words(log) or f"see {log}"
                raise LauncherError(f"{hopeless.spec.name} could not start: {why}")
            await self._tick.wait()

    def _fail(self, why: str) -> None:
        self._failure = why
        self._changed()
        self._leaving.set()

    async def _handle(self, request: Request) -> AsyncIterator[Reply]:
        match request.op:
            case Op.STATUS:
                yield Reply(state=self.snapshot())
            case Op.WAIT:
                async for reply in self._progress(self._is_up):
                    yield reply
            case Op.STOP:
                self._leaving.set()
                async for reply in self._progress(self._empty.is_set):
                    yield reply
            case Op.SPEED:
                async for reply in self._change_speed(request.speed):
                    yield reply
            case Op.FAULT_BEGIN | Op.FAULT_UNDO | Op.FAULT_LIST:
                async for reply in self._fault_command(request):
                    yield reply
            case _:
                async for reply in self._node_command(request):
                    yield reply

    async def _change_speed(self, speed: float) -> AsyncIterator[Reply]:
        """Start everything that obeys the speed again, with another one."""
        from kubeherd.cluster.launcher import speeding  # noqa: PLC0415 - seldom

        async with self._change():
            settings = msgspec.structs.replace(self._nodes.settings, speed=speed)
            specs = plan.obeying_speed(settings, self._rundir)
            speeding.check(self._herd, settings, specs)
            self._nodes.save(settings)
            again = await speeding.stop(self._herd, specs)
            serve = [spec for spec in again if spec.role is Role.APISERVER]
            self._herd.start(serve)
            try:
                async for reply in self._serving([spec.name for spec in serve]):
                    yield reply
            finally:  # also when who asked has gone meanwhile, or the API server takes too long
                self._herd.start(again)
        async for reply in self._serving([spec.name for spec in again]):
            yield reply
        yield Reply(state=self.snapshot())

    async def _node_command(self, request: Request) -> AsyncIterator[Reply]:
        async with self._change():
            touched = await self._carry_out(request)
        if request.op in (Op.NODE_ADD, Op.NODE_START):
            async for reply in self._serving(self._nodes.agents_of(touched)):
                yield reply
        yield Reply(state=self.snapshot(), nodes=tuple(touched))

    async def _carry_out(self, request: Request) -> list[str]:
        if request.op is Op.NODE_ADD:
            return await self._nodes.add(request.nodes, request.count)
        if request.op is Op.NODE_REMOVE:
            return await self._remove(request.nodes)
        from kubeherd.cluster.launcher.faults import nodefaults  # noqa: PLC0415 - as all of faults

        faults = self._fault_commands()
        return await nodefaults.carry_out(
            request.op, request.nodes, faults, self._nodes, self._herd
        )

    async def _remove(self, nodes: Collection[str]) -> list[str]:
        touched: list[str] = []
        for node in nodes:
            touched += await self._nodes.remove(node)
            if self._faults is not None:
                await self._faults.forget([node])
        return touched

    async def _fault_command(self, request: Request) -> AsyncIterator[Reply]:
        from kubeherd.cluster.launcher.faults import answering  # noqa: PLC0415 - as all of faults

        async with self._change():
            faults = self._fault_commands()
        steps = answering.answer(request, faults, self._change)
        async with contextlib.aclosing(steps):
            async for step in steps:
                if isinstance(step, answering.Answer):
                    yield Reply(state=self.snapshot(), faults=step.faults)
                else:
                    async for reply in self._serving(step.processes, needed=step.needed):
                        yield reply

    @contextlib.asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        """While the body runs nothing else changes the cluster; LauncherError if it is not up."""
        self._check_up()  # who starts and stops the processes has the lock meanwhile
        async with self._changing:
            self._check_up()
            yield

    def _check_up(self) -> None:
        if not self._brought_up or self._leaving.is_set():
            raise LauncherError("the cluster is starting or stopping")

    async def _serving(
        self, processes: Collection[str], *, needed: bool = True
    ) -> AsyncIterator[Reply]:
        """Wait for processes that are starting, with progress; LauncherError if it takes too long
        and they are `needed`.

        One that was removed or ended by another command is not waited for.
        """
        herd = self._herd

        def late() -> list[str]:
            there = [herd[name] for name in processes if name in herd]
            return [one.spec.name for one in there if one.wanted and not one.ready]

        # No timeout around a yield: it would cancel whoever reads the replies.
        nodes = sum(len(herd[name].spec.nodes) for name in processes if name in herd)
        timeout_s = READY_TIMEOUT_S + NODE_START_TIMEOUT_S * nodes
        deadline_s = self._clock.monotonic_s() + timeout_s
        while names := late():
            change, left_s = self._tick, deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                if needed:
                    raise LauncherError(f"not ready after {timeout_s:g} s: {', '.join(names)}")
                return
            yield Reply(final=False, state=self.snapshot())
            await self._clock.sleep(PROGRESS_INTERVAL_S)
            with contextlib.suppress(TimeoutError):
                await self._clock.wait_for(change.wait(), left_s)

    def _fault_commands(self) -> "FaultCommands":
        """Those of this cluster; the first call is the first fault."""
        if self._faults is None:
            from kubeherd.cluster.launcher.faults.commands import (  # noqa: PLC0415 - seldom
                FaultCommands,
            )

            self._faults = FaultCommands(
                self._rundir, self._herd, self._nodes, recording=self._recording
            )
            tending = self._tasks.create_task(self._tend(self._faults), name="faults")
            self._helpers.append(tending)
        return self._faults

    async def _tend(self, faults: "FaultCommands") -> None:
        """Keep the faults in force, and end those whose time is over."""
        while not self._leaving.is_set():
            change = self._tick
            async with self._changing:
                if not self._leaving.is_set():
                    await faults.tend()
            with contextlib.suppress(TimeoutError):
                await self._clock.wait_for(change.wait(), faults.rest_s())

    def _forget_faults(self) -> None:
        """Faults do not outlive their supervisor: those of one that was killed are over."""
        if self._in_place() and self._rundir.faults_json.exists():
            if self._faults is None:
                _log.warning("faults_forgotten", file=str(self._rundir.faults_json))
            self._rundir.faults_json.unlink(missing_ok=True)

    def _is_up(self) -> bool:
        if self._failure:
            raise LauncherError(self._failure)
        if self._leaving.is_set():
            raise LauncherError("the cluster is being stopped")
        return self._brought_up and self.snapshot().ready and not self._waiting

    async def _progress(self, done: Callable[[], bool]) -> AsyncIterator[Reply]:
        """Replies with the state at every change (but not all the time) until `done`."""
        while True:
            change = self._tick
            if done():
                break
            yield Reply(final=False, state=self.snapshot())
            await self._clock.sleep(PROGRESS_INTERVAL_S)
            await change.wait()
        yield Reply(state=self.snapshot())

    async def _leave_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._leaving.set()

    async def _leave_without_directory(self) -> None:
        while self._in_place():
            await self._clock.sleep(LOOK_INTERVAL_S)
        self._fail(f"{self._rundir.root} was deleted, moved away or replaced")

    async def _write_state(self) -> None:
        while True:
            change = self._tick
            self._save_state()
            await self._clock.sleep(STATE_INTERVAL_S)
            await change.wait()

    def _save_state(self) -> None:
        with contextlib.suppress(LauncherError):  # a full disk must not take the cluster down
            if self._in_place():
                state.write(self._rundir, self.snapshot())

    def _changed(self) -> None:
        self._tick.set()
        self._tick = asyncio.Event()


def _recording(rundir: RunDir, settings: Settings, clock: Clock) -> "Recording | None":
    """What writes down processes and faults, if the cluster records. ProcessError."""
    if settings.record is Recorded.NOTHING:
        return None
    from kubeherd.cluster.launcher.recording import Recording  # noqa: PLC0415 - off mostly

    return Recording(rundir, settings, clock)


def _profile(rundir: RunDir, settings: Settings) -> "KindProfile | None":
    """What a cluster has besides its nodes; a bare one does not even import it."""
    if settings.profile is Profile.BARE:
        return None
    from kubeherd.cluster.launcher.profiles.applying import KindProfile  # noqa: PLC0415

    return KindProfile(rundir, settings)
