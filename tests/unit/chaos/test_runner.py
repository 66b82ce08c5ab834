"""The course of a run in an arena of which nothing is real: what is begun is undone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from patience import PATIENCE_S

from kubeherd.chaos.arena import Arena
from kubeherd.chaos.experiment import Experiment, parse
from kubeherd.chaos.runner import QUIET_S, Run
from kubeherd.faults import Fault, FaultError
from kubeherd.history import Began, Ended, Heartbeat, Record, Step, Verb, Write

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

    def __init__(self, silent_until_s: float = 0.0, ahead_until_s: float = 0.0) -> None:
        super().__init__()
        self._silent_until_s = silent_until_s
        self._ahead_until_s = ahead_until_s

    async def sleep(self, duration_s: float) -> None:
        await super().sleep(duration_s)
        ahead_s = 60.0 if self.time_s < self._ahead_until_s else 0.0
        if self.time_s >= self._silent_until_s:
            for node, renewed in (("node-1", self.time_s), ("node-2", self.time_s + ahead_s)):
                self.tell(Heartbeat(at=self.time_s, node=node, revision=9, renewed=renewed))


async def test_nothing_has_converged_before_every_node_was_heard():
    """One that was silent for long may still be found to be, shortly after all is healed."""
    arena = Beating(silent_until_s=50.0)
    async with asyncio.timeout(PATIENCE_S):
        outcome = await run(arena).run()
    assert outcome.settled_after_s is not None
    assert arena.records[-1].at >= 50.0
    assert 17.0 <= outcome.settled_after_s < 20.0


async def test_nothing_has_converged_before_a_clock_that_was_ahead_is_caught_up_with():
    """Until then the node is not heard, and called silent again and again."""
    arena = Beating(ahead_until_s=20.0)
    async with asyncio.timeout(5):
        await run(arena).run()
    quiet = next(one for one in arena.records if isinstance(one, Step) and one.name == "quiet")
    assert 60.0 < quiet.at < 90.0


class Ending(Nowhere):
    """A pod is being deleted, until then."""

    gone_s = 100.0

    def follow(self, tell: Callable[[Record], None]) -> None:
        super().follow(tell)
        self._pod(Verb.UPDATE)

    async def sleep(self, duration_s: float) -> None:
        before_s = self.time_s
        await super().sleep(duration_s)
        if before_s < self.gone_s <= self.time_s:
            self._pod(Verb.DELETE)

    def _pod(self, verb: Verb) -> None:
        metadata = {"name": "p", "namespace": "x", "uid": "p", "deletionTimestamp": "some"}
        self.tell(
            Write(
                at=self.time_s, revision=3, verb=verb, resource="pods", namespace="x", name="p",
                uid="p", object={"metadata": metadata},
            )
        )  # fmt: skip


async def test_nothing_has_converged_while_a_pod_is_being_deleted():
    """Its agent will write once more."""
    arena = Ending()
    async with asyncio.timeout(PATIENCE_S):
        await run(arena, parse(ONE_COMPONENT)).run()
    steady = next(one for one in arena.records if isinstance(one, Step) and one.name == "steady")
    assert steady.at >= arena.gone_s


class Busy(Nowhere):
    """At speed 10: a Node is written every so many nominal seconds, as `write` makes it, until
    then; the nodes are heard."""

    def __init__(
        self, write: Callable[[int], dict[str, Any]], until_s: float, every_s: int = 10
    ) -> None:
        super().__init__()
        self._every_s = every_s
        self._write = write
        self._until_s = until_s

    def follow(self, tell: Callable[[Record], None]) -> None:
        super().follow(tell)
        tell(Began(at=0.0, speed=10.0))

    async def sleep(self, duration_s: float) -> None:
        before_s = self.time_s
        await super().sleep(duration_s)
        for node in ("node-1", "node-2"):
            self.tell(Heartbeat(at=self.time_s, node=node, revision=9, renewed=self.time_s))
        number = int(self.time_s // self._every_s)
        if self.time_s <= self._until_s and number > int(before_s // self._every_s):
            tree = {"metadata": {"name": "node-1", "uid": "node-1"}, **self._write(number)}
            self.tell(
                Write(
                    at=self.time_s / 10, revision=number + 2, verb=Verb.UPDATE, resource="nodes",
                    name="node-1", uid="node-1", object=tree,
                )
            )  # fmt: skip


NOTHING = "{name: some, title: Some, teaches: Something, duration_s: 5, ready_within_s: 15}"


async def test_speed_does_not_shorten_the_wait_for_a_cluster_to_settle():
    """A second between two writes is no pause on a busy machine, whatever the speed."""
    arena = Busy(lambda number: {"spec": {"number": number}}, until_s=60.0)
    outcome = await run(arena, parse(NOTHING)).run()
    assert not outcome.problem
    quiet = next(one for one in arena.records if isinstance(one, Step) and one.name == "quiet")
    assert quiet.at >= 60.0 + 10 * QUIET_S


async def test_a_pause_of_two_nominal_seconds_is_enough_to_begin():
    """A program that takes part may begin to write at any moment."""
    arena = Busy(lambda number: {"spec": {"number": number}}, until_s=1e6)
    outcome = await run(arena, parse(NOTHING)).run()
    assert (outcome.problem, outcome.settled_after_s) == ("", None)


async def test_who_never_stops_writing_is_not_steady():
    arena = Busy(lambda number: {"spec": {"number": number}}, until_s=1e6, every_s=1)
    outcome = await run(arena, parse(NOTHING)).run()
    assert outcome.problem == "the cluster was not steady within 150 s: it goes on writing"


async def test_the_heartbeats_of_many_nodes_are_not_taken_for_unrest():
    beat = {"type": "Ready", "status": "True"}
    arena = Busy(
        lambda number: {"status": {"conditions": [{**beat, "lastHeartbeatTime": str(number)}]}},
        until_s=1e6,
    )
    outcome = await run(arena, parse(NOTHING)).run()
    assert not outcome.problem
