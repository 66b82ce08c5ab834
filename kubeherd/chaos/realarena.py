"""A cluster of real processes as an arena of experiments (`kubeherd.chaos.arena.Arena`).

Faults are begun and undone by the cluster's supervisor, as the commands do it; the history is what
the API server records, with what the experiment does put in between.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from kubeherd.chaos.arena import ArenaError
from kubeherd.chaos.experiment import ClusterSpec, Command
from kubeherd.chaos.program import Program
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.settings import ClusterOptions, Recorded
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.cluster.launcher.supervisor.changes import Processes
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.faults import Component, Fault, FaultError, effects
from kubeherd.faults.targets import CHAOS_AGENT, COMMAND
from kubeherd.history import Ended, FaultBegan, FaultEnded, Process, Record
from kubeherd.history.files import Tail

LOOK_S = 0.05
"""How often the files of the cluster are looked at, in real seconds."""


class RealArena:
    """Faults, steps and history of one running cluster. Use `opened`."""

    def __init__(self, handle: ClusterHandle, record: Path, client: ApiClient) -> None:
        self.client = client
        self._handle = handle
        self._speed = handle.settings.speed
        self._tail = Tail(record)
        self._tell: Callable[[Record], None] = lambda _record: None
        self._following = False
        self._undoable: dict[str, Fault] = {}
        self._program: Program | None = None
        self._processes: dict[str, ProcessState] = {}
        self._changes = Processes()

    def now_s(self) -> float:
        """Nominal seconds."""
        return time.monotonic() * self._speed

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, duration_s: float) -> None:
        """Wait so many nominal seconds, and tell of what happened."""
        await asyncio.sleep(duration_s / self._speed)
        self.catch_up()

    async def add_nodes(self, names: Sequence[str]) -> None:
        """Start agents for these nodes."""
        await self._node(Op.NODE_ADD, *names)

    async def remove_node(self, name: str) -> None:
        """Stop the agent, delete its Node."""
        await self._node(Op.NODE_REMOVE, name)
        with suppress(NotFound):
            await self.client.delete(NODES, name)

    async def _node(self, op: Op, *names: str) -> None:
        try:
            await asyncio.to_thread(self._handle.node, op, *names)
        except LauncherError as error:
            raise ArenaError(str(error)) from None

    def process_of(self, identity: str) -> str:
        """As `Arena.process_of`: an identity has the pid (`controller.identity`)."""
        for one in self._processes.values():
            if one.process is not None and f"-{one.process.pid}-" in identity:
                return one.name
        return "controller-manager"

    # --- faults ---

    async def begin(self, fault: Fault) -> None:
        """The fault is in force when this returns. FaultError."""
        fault.check()
        if (program := self._program_hurt_by(fault)) is not None:
            program.hurt(fault.effect)
        else:
            try:
                await asyncio.to_thread(self._handle.hurt, fault)
            except LauncherError as error:
                raise FaultError(str(error)) from None
        if fault.undoable:
            self._undoable[fault.id] = fault
        self.tell(FaultBegan(at=self.wall_s(), fault=fault))

    async def undo(self, fault_id: str) -> None:
        """The fault is over when this returns."""
        fault = self._undoable.pop(fault_id, None)
        if fault is None:
            return
        if (program := self._program_hurt_by(fault)) is not None:
            program.heal(fault.effect)
        else:
            try:
                await asyncio.to_thread(self._handle.undo, fault_id)
            except LauncherError as error:
                raise FaultError(str(error)) from None
        self.tell(FaultEnded(at=self.wall_s(), id=fault_id))

    def _program_hurt_by(self, fault: Fault) -> Program | None:
        """The user's program, if this is a fault of its process."""
        if fault.target != Component(COMMAND) or not isinstance(fault.effect, effects.PROCESS):
            return None
        if self._program is None:
            raise FaultError("the experiment has no program of its own")
        return self._program

    async def run_program(self, command: Command) -> None:
        """Run a user's program beside the cluster, until cancelled."""
        rundir = self._handle.rundir
        pki = await asyncio.to_thread(ClusterPki.ensure, rundir, self._handle.settings.server)
        await asyncio.to_thread(pki.ensure_command)

        def tell(*, running: bool, why: str = "") -> None:
            self.tell(Process(at=self.wall_s(), name=COMMAND, running=running, why=why))

        self._program = Program(
            command,
            rundir.command_kubeconfig,
            rundir.log(COMMAND),
            began=lambda: tell(running=True),
            ended=lambda why: tell(running=False, why=why),
        )
        await self._program.run()

    # --- history ---

    def tell(self, record: Record) -> None:
        """A record of the experiment's own, after all that is known by now."""
        self.catch_up()
        self._tell(record)

    def follow(self, tell: Callable[[Record], None]) -> None:
        """As `Arena.follow`."""
        self._tell = tell
        self._following = True
        self.catch_up()

    def catch_up(self) -> None:
        """Tell of what the API server has recorded since; it ends whenever it is restarted."""
        if self._following:
            for record in self._tail.read():
                if not isinstance(record, Ended):
                    self._tell(record)

    async def watch(self) -> None:
        """Tell of records and of processes as they come, until cancelled."""
        while True:
            state = await asyncio.to_thread(self._handle.state)
            for one in state.processes:
                record = self._changes.of(one, self.wall_s())
                if record is not None:
                    self.tell(record)
                self._processes[one.name] = one
            self.catch_up()
            await asyncio.sleep(LOOK_S)


@contextmanager
def cluster_for(wanted: ClusterSpec, seed: int, root: Path) -> Iterator[tuple[ClusterHandle, Path]]:
    """A cluster as an experiment wants it, in `root`, and the file into which it records.
    LauncherError if it does not start, or if one is there already."""
    if RunDir(root).exists():
        raise LauncherError(f"{root} has a cluster already: an experiment makes one of its own")
    settings = lifecycle.new_settings(
        ClusterOptions(
            nodes_per_agent=wanted.nodes_per_agent,
            controllers=wanted.controllers,
            speed=wanted.speed,
            record=Recorded.REQUESTS if wanted.requests else Recorded.WRITES,
        ),
        nodes=wanted.nodes,
        seed=seed,
    )
    with ClusterHandle(root, settings) as handle:
        yield handle, handle.rundir.history


@asynccontextmanager
async def opened(
    handle: ClusterHandle, record: Path, command: Command | None = None
) -> AsyncIterator[RealArena]:
    """An arena over a running cluster whose API server records into `record`; a user's program
    takes part."""
    access = load_kubeconfig(handle.rundir.kubeconfig)
    transport = HttpTransport(access, user_agent=CHAOS_AGENT)
    arena = RealArena(handle, record, ApiClient(transport, LoopClock()))
    tasks = [asyncio.create_task(arena.watch(), name="watch-cluster")]
    if command is not None:
        tasks.append(asyncio.create_task(arena.run_program(command), name="program"))
    try:
        yield arena
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await transport.close()
    for end in ends:
        if isinstance(end, Exception):  # without them the run saw less than happened
            raise end
