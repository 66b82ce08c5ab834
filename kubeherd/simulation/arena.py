"""The simulated cluster as an arena of experiments (`kubeherd.chaos.arena.Arena`)."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from msgspec.structs import replace

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import NODES
from kubeherd.faults import Component, Fault, FaultError, Nodes, effects
from kubeherd.faults.targets import CHAOS_AGENT
from kubeherd.history import Began, FaultBegan, FaultEnded, Record
from kubeherd.simulation.cluster import ADMIN, Options, SimulatedCluster, simulated

DOWN = (effects.Crash, effects.Stop)
APISERVER = (*effects.CONNECTION, *effects.REQUEST_EFFECTS, *effects.STORE)
"""What goes wrong at the edges of the API server."""


class ClusterWanted(Protocol):
    """What of an experiment's cluster matters here."""

    @property
    def nodes(self) -> int:
        """How many there are."""

    @property
    def controllers(self) -> int:
        """How many controller managers."""

    @property
    def requests(self) -> bool:
        """Whether requests are a part of the history."""

    @property
    def history_events(self) -> int:
        """How many events can be resumed at; 0: as many as ever."""


@asynccontextmanager
async def arena(wanted: ClusterWanted, seed: int) -> AsyncIterator["SimulatedArena"]:
    """A simulated cluster as an experiment wants it."""
    options = Options(record=True, record_requests=wanted.requests)
    if wanted.history_events:
        options["max_history_events"] = wanted.history_events
    async with simulated(seed, wanted.nodes, managers=wanted.controllers, **options) as cluster:
        yield SimulatedArena(cluster)


class SimulatedArena:
    """Faults, steps and history of one simulated cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self.client = cluster.client(CHAOS_AGENT, ADMIN)
        cluster.on_start = self._tell_process
        self._tell: Callable[[Record], None] = lambda _record: None
        self._faults: dict[str, Fault] = {}

    def now_s(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._cluster.now_s

    def wall_s(self) -> float:
        """Seconds since the epoch, by the virtual clock."""
        return self._cluster.clock.now().timestamp()

    async def sleep(self, duration_s: float) -> None:
        """Let virtual time pass."""
        await self._cluster.clock.sleep(duration_s)

    async def add_nodes(self, names: Sequence[str]) -> None:
        """Start agents for these nodes."""
        for name in names:
            self._cluster.start_node(name)

    async def remove_node(self, name: str) -> None:
        """Stop the agent, delete its Node."""
        await self._cluster.kill(name)
        try:
            await self.client.delete(NODES, name)
        except NotFound:
            return

    def process_of(self, identity: str) -> str:
        """As `Arena.process_of`."""
        for name, held in self._cluster.identities.items():
            if held == identity:
                return name
        return "controller-manager"

    # --- faults ---

    async def begin(self, fault: Fault) -> None:
        """The fault is in force when this returns. FaultError."""
        fault.check()
        if isinstance(fault.effect, effects.PROCESS):
            for name in self._names(fault):
                await self._hurt(name, fault)
        if fault.undoable:
            self._faults[fault.id] = fault
        try:
            for name in ("apiserver", *self._names(fault)):
                self._tell_process(name)
        except FaultError:
            self._faults.pop(fault.id, None)
            raise
        self.tell(FaultBegan(at=self.wall_s(), fault=fault))

    async def undo(self, fault_id: str) -> None:
        """The fault is over when this returns."""
        fault = self._faults.pop(fault_id, None)
        if fault is None:
            return
        for name in self._names(fault):
            if isinstance(fault.effect, effects.PROCESS):
                self._heal(name, fault)
            self._tell_process(name)
        self._tell_process("apiserver")
        self.tell(FaultEnded(at=self.wall_s(), id=fault_id))

    def _names(self, fault: Fault) -> Sequence[str]:
        """The processes that a fault is about."""
        if isinstance(fault.target, Nodes):
            return [name for name in fault.target.names if name in self._cluster.configs]
        return [fault.target.name] if isinstance(fault.target, Component) else []

    async def _hurt(self, name: str, fault: Fault) -> None:
        cluster = self._cluster
        if name not in cluster.processes:
            raise FaultError(f'the cluster has no process "{name}"')
        match fault.effect:
            case effects.Freeze():
                cluster.freeze(name)
            case effects.Reboot():
                await cluster.kill(name)
                cluster.start_node(name, reboot=True)
            case effects.Restart():
                await cluster.kill(name)
                cluster.start(name)
            case _:
                await cluster.kill(name)

    def _heal(self, name: str, fault: Fault) -> None:
        """What this fault did to a process is over, unless another one does the same."""
        still = [one.effect for one in self._faults.values() if name in self._names(one)]
        frozen = any(isinstance(effect, effects.Freeze) for effect in still)
        down = any(isinstance(effect, DOWN) for effect in still)
        if isinstance(fault.effect, effects.Freeze):
            if not frozen and not down:
                self._cluster.thaw(name)
        elif not down and not self._cluster.processes[name].alive:
            self._cluster.start(name)

    def _tell_process(self, name: str) -> None:
        """Tell a process all that goes wrong at its edges."""
        cluster = self._cluster
        if name == "apiserver":
            if cluster.apiserver is not None:
                cluster.apiserver.hurt(self._with(APISERVER))
        elif name in cluster.managers:
            told = [one for one in self._with((effects.TwoLeaders,)) if name in self._names(one)]
            cluster.managers[name].hurt(told)
        elif name in cluster.fleets:
            told = [one for one in self._with(effects.NODE) if name in self._names(one)]
            cluster.fleets[name].hurt([_of_one(name, fault) for fault in told])

    def _with(self, kinds: tuple[type[effects.Effect], ...]) -> list[Fault]:
        """The faults of these effects that are in force."""
        return [one for one in self._faults.values() if isinstance(one.effect, kinds)]

    # --- history ---

    def tell(self, record: Record) -> None:
        """A record of the experiment's own."""
        self._tell(record)

    def follow(self, tell: Callable[[Record], None]) -> None:
        """As `Arena.follow`."""
        self._tell = tell
        cluster = self._cluster
        nodes, revision = tuple(cluster.configs), cluster.store.revision
        tell(Began(at=self.wall_s(), source="simulation", nodes=nodes, revision=revision))
        cluster.follow(tell)


def _of_one(name: str, fault: Fault) -> Fault:
    """A fault of several nodes, as the agent of one is told it."""
    return replace(fault, target=Nodes((name,)))
