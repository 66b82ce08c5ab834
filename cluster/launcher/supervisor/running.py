"""A cluster while its supervisor lives: its processes and what is said of them.

The supervisor brings it up and ends it, commands change it meanwhile. Whoever changes it holds the
lock; whoever waits for a change is woken by each.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING

from kubeherd.cluster.launcher.control import Reply
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.starters import ProcessStarter
from kubeherd.cluster.launcher.settings import NODE_START_TIMEOUT_S
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.launcher.supervisor.herd import Herd
from kubeherd.cluster.launcher.supervisor.nodes import NodeCommands
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.supervisor.recording import Recording

PROGRESS_INTERVAL_S = 0.05
READY_TIMEOUT_S = 60.0
"""For processes that a command starts, or starts again; more for each of their nodes."""


class RunningCluster:
    """See the module; one per supervisor. `herd` holds its processes, in the tasks of `tasks`."""

    nodes: NodeCommands
    """From the start of the nodes' agents on."""

    def __init__(
        self,
        rundir: RunDir,
        starter: ProcessStarter,
        clock: Clock,
        rng: Rng,
        own_process: osproc.ProcessId,
        tasks: asyncio.TaskGroup,
        recording: "Recording | None",
    ) -> None:
        self.rundir = rundir
        self.clock = clock
        self.tasks = tasks
        self.recording = recording
        self.herd = Herd(tasks, starter, clock, rng, self.changed)
        if recording is not None:
            self.herd.follow = recording.process
        self.changing = asyncio.Lock()
        """Who holds it changes the cluster."""
        self.leaving = asyncio.Event()
        self.helpers: list[asyncio.Task[None]] = []
        """Tasks that end with the cluster."""
        self.brought_up = False
        self.failure = ""
        """Why its start was given up."""
        self.waiting = ""
        """What its profile still has to bring."""
        self._starter = starter
        self._own_process: osproc.ProcessId | None = own_process
        self._tick = asyncio.Event()

    def snapshot(self) -> ClusterState:
        """The state of everything, now."""
        return ClusterState(
            supervisor=self._own_process,
            spawner=self._starter.spawner_process,
            processes=self.herd.snapshot(),
            failure=self.failure,
            waiting=self.waiting,
        )

    @property
    def is_empty(self) -> bool:
        """Whether all has ended."""
        return self._own_process is None

    def emptied(self) -> None:
        """All has ended: the supervisor, too, is as good as gone."""
        self._own_process = None
        self.changed()

    def changed(self) -> None:
        """Wake who waits for a change."""
        self._tick.set()
        self._tick = asyncio.Event()

    @property
    def change(self) -> asyncio.Event:
        """The next change: take it, look, and wait for it."""
        return self._tick

    def up(self) -> None:
        """Its processes are started: commands may change it."""
        self.brought_up = True
        self.changed()

    def wait_for(self, what: str) -> None:
        """Its profile waits for this; for nothing if it is empty."""
        if what != self.waiting:
            self.waiting = what
            self.changed()

    def fail(self, why: str) -> None:
        """Give up."""
        self.failure = why
        self.changed()
        self.leaving.set()

    async def until_ready(self, ready: Callable[[], bool]) -> None:
        """Wait for processes that are starting; LauncherError once there is no hope."""
        while not ready():
            hopeless = self.herd.hopeless()
            if hopeless is not None:
                log = hopeless.spec.log
                why = hopeless.failure or last_words(log) or f"see {log}"
                raise LauncherError(f"{hopeless.spec.name} could not start: {why}")
            await self.change.wait()

    def is_up(self) -> bool:
        """Whether all serves and its profile is there; LauncherError if it never will be."""
        if self.failure:
            raise LauncherError(self.failure)
        if self.leaving.is_set():
            raise LauncherError("the cluster is being stopped")
        return self.brought_up and self.snapshot().ready and not self.waiting

    @contextlib.asynccontextmanager
    async def altered(self) -> AsyncIterator[None]:
        """While the body runs nothing else changes the cluster; LauncherError if it is not up."""
        self._check_up()  # who starts and stops the processes has the lock meanwhile
        async with self.changing:
            self._check_up()
            yield

    def _check_up(self) -> None:
        if not self.brought_up or self.leaving.is_set():
            raise LauncherError("the cluster is starting or stopping")

    async def progress(self, done: Callable[[], bool]) -> AsyncIterator[Reply]:
        """Replies with the state at every change (but not all the time) until `done`."""
        while True:
            change = self.change
            if done():
                break
            yield Reply(final=False, state=self.snapshot())
            await self.clock.sleep(PROGRESS_INTERVAL_S)
            await change.wait()
        yield Reply(state=self.snapshot())

    async def serving(
        self, processes: Collection[str], *, needed: bool = True
    ) -> AsyncIterator[Reply]:
        """Wait for processes that are starting, with progress; LauncherError if it takes too long
        and they are `needed`.

        One that was removed or ended by another command is not waited for.
        """
        herd = self.herd

        def late() -> list[str]:
            there = [herd[name] for name in processes if name in herd]
            return [one.spec.name for one in there if one.wanted and not one.ready]

        # No timeout around a yield: it would cancel whoever reads the replies.
        nodes = sum(len(herd[name].spec.nodes) for name in processes if name in herd)
        timeout_s = READY_TIMEOUT_S + NODE_START_TIMEOUT_S * nodes
        deadline_s = self.clock.monotonic_s() + timeout_s
        while names := late():
            change, left_s = self.change, deadline_s - self.clock.monotonic_s()
            if left_s <= 0:
                if needed:
                    raise LauncherError(f"not ready after {timeout_s:g} s: {', '.join(names)}")
                return
            yield Reply(final=False, state=self.snapshot())
            await self.clock.sleep(PROGRESS_INTERVAL_S)
            with contextlib.suppress(TimeoutError):
                await self.clock.wait_for(change.wait(), left_s)
