"""The course of a run in an arena of which nothing is real: what is begun is undone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from patience import PATIENCE_S

from kubeherd.chaos.arena import Arena
from kubeherd.chaos.experiment import Experiment, parse
from kubeherd.chaos.runner import Run
from kubeherd.faults import Fault, FaultError
from kubeherd.history import Began, Ended, Heartbeat, Record, Verb, Write

EXPERIMENT = """
name: some
title: Some
teaches: Something
duration_s: 30
faults:
- {at_s: 1, fault: {kind: partition}, whom: {nodes: {names: [node-1]}}}
- {at_s: 2, fault: {kind: crash}, whom: {nodes: {names: [node-2]}}, for_s: 5}
"""


class Nowhere:
    """As `Arena`: time passes as it is slept, and undoing does what `undone` says."""

    client = cast(Any, None)
    quiet_s = 2.0
    components: Sequence[str] = ()

    def __init__(self) -> None:
        self.time_s = 0.0
        self.begun: list[Fault] = []
        self.ended: list[str] = []
        self.records: list[Record] = []
        self.first_undone = asyncio.Event()
        self._tell: Callable[[Record], None] = self.records.append

    def now_s(self) -> float:
        return self.time_s

    def wall_s(self) -> float:
        return self.time_s

    async def sleep(self, duration_s: float) -> None:
        self.time_s += duration_s
        await asyncio.sleep(0)

    async def add_nodes(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    async def remove_node(self, name: str) -> None:
        raise NotImplementedError

    async def begin(self, fault: Fault) -> None:
        self.begun.append(fault)

    async def undo(self, fault_id: str) -> None:
        """The second is over when the first is: a node that is cut off does not start."""
        if fault_id == self.begun[0].id:
            self.first_undone.set()
        else:
            await self.first_undone.wait()
        self.ended.append(fault_id)

    def process_of(self, identity: str) -> str:
        return identity

    def tell(self, record: Record) -> None:
        self._tell(record)

    def follow(self, tell: Callable[[Record], None]) -> None:
        self._tell = tell
        tell(Began(at=0.0, nodes=("node-1", "node-2")))
        for number, name in enumerate(("node-1", "node-2"), 1):
            tree = {"metadata": {"name": name, "uid": name}}
            tell(
                Write(
                    at=0.0, revision=number, verb=Verb.CREATE, resource="nodes", name=name,
                    uid=name, object=tree, restored=True,
                )
            )  # fmt: skip


def run(arena: Nowhere, experiment: Experiment | None = None) -> Run:
    one: Arena = arena
    return Run(
        experiment or parse(EXPERIMENT), one, seed=1, safety=(), liveness=(),
        heard=arena.records.append,
    )  # fmt: skip


async def test_healing_undoes_everything_although_one_waits_for_the_other():
    arena = Nowhere()
    async with asyncio.timeout(PATIENCE_S):
        await run(arena).run()
    assert sorted(arena.ended) == sorted(fault.id for fault in arena.begun)
    assert len(arena.begun) == 2
    assert isinstance(arena.records[-1], Ended)


ONE_COMPONENT = """
name: some
title: Some
teaches: Something
duration_s: 60
faults:
- {at_s: 1, fault: {kind: api-error, code: 500}, whom: {component: controller-manager}}
- {at_s: 2, fault: {kind: restart}, whom: {component: leader}}
- {at_s: 3, fault: {kind: freeze}, whom: {component: controller-manager}, for_s: 10}
- {at_s: 4, fault: {kind: restart}, whom: {component: leader}}
- {at_s: 5, fault: {kind: watch-stall}, whom: {component: controller-manager}}
- {at_s: 6, fault: {kind: crash}, whom: {nodes: {}}}
- {at_s: 6, fault: {kind: crash}, whom: {nodes: {count: 5}}}
- {at_s: 7, fault: {kind: crash}, whom: {nodes: {}}}
- {at_s: 20, fault: {kind: restart}, whom: {component: leader}}
"""


async def test_a_component_is_hurt_once_by_signals_and_by_all_else_as_often_as_it_is_told():
    """What its requests suffer does not hide that it dies; what nobody is left for is told."""
    outcome = await run(Leading(), parse(ONE_COMPONENT)).run()
    begun = [str(fault.kind) for fault in outcome.faults]
    assert begun == [
        "api-error", "restart", "freeze", "watch-stall", "crash", "crash", "restart",
    ]  # fmt: skip
    skipped = [line.partition("s  ")[2] for line in outcome.done if "skipped" in line]
    assert skipped == [
        "skipped: restart leader: whom it is for is hurt already",
        "skipped: crash: whom it is for is hurt already",
    ]
    assert outcome.skipped == 2


class Leading(Nowhere):
    """One controller manager; what is undone is over at once."""

    def process_of(self, identity: str) -> str:
        return "controller-manager"

    async def undo(self, fault_id: str) -> None:
        self.ended.append(fault_id)


class Stubborn(Nowhere):
    """Nothing comes back."""

    async def undo(self, fault_id: str) -> None:
        raise FaultError(f"{fault_id}: node-2 does not start")


async def test_what_cannot_be_undone_is_told_and_the_run_goes_on():
    outcome = await run(Stubborn()).run()
    assert not outcome.problem
    assert sum("could not undo" in line for line in outcome.done) == 2


class Beating(Nowhere):
    """Its nodes are silent until some time after healing."""

    def __init__(self, silent_until_s: float) -> None:
        super().__init__()
        self._silent_until_s = silent_until_s

    async def sleep(self, duration_s: float) -> None:
        await super().sleep(duration_s)
        if self.time_s >= self._silent_until_s:
            for node in ("node-1", "node-2"):
                self.tell(Heartbeat(at=self.time_s, node=node, revision=9, renewed=self.time_s))


async def test_nothing_has_converged_before_every_node_was_heard():
    """One that was silent for long may still be found to be, shortly after all is healed."""
    arena = Beating(silent_until_s=50.0)
    async with asyncio.timeout(PATIENCE_S):
        outcome = await run(arena).run()
    assert outcome.settled_after_s is not None
    assert arena.records[-1].at >= 50.0
    assert 17.0 <= outcome.settled_after_s < 20.0
