"""A supervisor that runs in the test, with stand-in processes, and a way to ask it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable

from patience import PATIENCE_S

from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.control import Op, Reply, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.launcher.processes.starters import ProcessStarter
from kubeherd.cluster.launcher.processes.supervised import Starter
from kubeherd.cluster.launcher.settings import Recorded, Settings
from kubeherd.cluster.launcher.state import ClusterState, ProcessState
from kubeherd.cluster.launcher.supervisor.supervisor import Supervisor
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng

Standins = Callable[..., Starter]
"""Makes a starter that runs stand-ins; the modes of some may be given by their names."""
OWN = osproc.ProcessId(os.getpid())


class NoWarmUp(ProcessStarter):
    """Starts stand-ins only; there is no fork server to warm up."""

    def __init__(self, rundir: RunDir, starter: Starter) -> None:
        super().__init__(rundir)
        self._starter = starter

    @property
    def spawner_process(self) -> None:
        return None

    async def __call__(self, spec: ProcessSpec) -> Child:
        return await self._starter(spec)

    def warm_up(self, tasks: asyncio.TaskGroup) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Running:
    """A running supervisor and a way to ask it."""

    def __init__(self, rundir: RunDir, stop: asyncio.Event, supervisor: Supervisor) -> None:
        self.rundir = rundir
        self.stop = stop
        self.supervisor = supervisor

    async def ask(self, op: Op, *nodes: str, count: int = 0) -> Reply:
        return await self.request(Request(op=op, nodes=nodes, count=count))

    async def request(self, request: Request) -> Reply:
        return await asyncio.to_thread(
            lambda: list(control.ask(self.rundir, request, timeout_s=PATIENCE_S))[-1]
        )

    async def state(self) -> ClusterState:
        return (await self.ask(Op.STATUS)).state

    async def process(self, name: str) -> ProcessState:
        return next(p for p in (await self.state()).processes if p.name == name)

    async def until(self, name: str, condition: Callable[[ProcessState], bool]) -> ProcessState:
        async with asyncio.timeout(PATIENCE_S):
            # each look asks over a socket; there is no event to wait for
            while not condition(found := await self.process(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found


@contextlib.asynccontextmanager
async def running(
    rundir: RunDir,
    starter: Starter,
    nodes: int = 2,
    nodes_per_agent: int = 1,
    accept_loss_after: int | None = None,
    record: Recorded = Recorded.NOTHING,
) -> AsyncIterator[Running]:
    empty = Settings(port=1, nodes_per_agent=nodes_per_agent, record=record)
    names = settings_module.next_names([], nodes)
    settings = settings_module.add_nodes(empty, names)
    rundir.save_settings(settings)
    stop, started = asyncio.Event(), asyncio.Event()
    supervisor = Supervisor(
        rundir,
        settings,
        NoWarmUp(rundir, starter),
        LoopClock(),
        Rng(1),
        OWN,
        accept_loss_after=accept_loss_after,
    )
    life = asyncio.ensure_future(supervisor.run(stop, started.set))
    await started.wait()
    try:
        yield Running(rundir, stop, supervisor)
    finally:
        stop.set()
        await asyncio.wait_for(life, PATIENCE_S)
    assert osproc.marked(rundir.root) == []
