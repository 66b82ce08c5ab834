"""An arena of real processes, without them: what the supervisor refuses or has forgotten."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubeherd.chaos.arena import ArenaError
from kubeherd.chaos.experiment import ClusterSpec
from kubeherd.chaos.realarena import RealArena, cluster_for
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.faults import Fault, FaultError, Nodes, effects
from kubeherd.history import FaultBegan, FaultEnded, Record

FAULT = Fault(id="f-1", target=Nodes(("node-1",)), effect=effects.Crash())


class Supervisor:
    """As `ClusterHandle`: knows the faults that are in force, and refuses all else."""

    settings = SimpleNamespace(speed=10.0)

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.obeys = True

    def hurt(self, fault: Fault) -> None:
        self.active.append(fault)

    def faults(self) -> list[Fault]:
        return self.active

    def undo(self, fault_id: str) -> None:
        found = [fault for fault in self.active if fault.id == fault_id]
        if not found:
            raise LauncherError(f'there is no fault "{fault_id}"')
        if not self.obeys:
            raise LauncherError("node-1 does not start")
        self.active.remove(found[0])

    def node(self, _op: object, *names: str) -> None:
        raise LauncherError(f'node "{names[0]}" exists')


def arena(supervisor: Supervisor, tmp_path: Path) -> tuple[RealArena, list[Record]]:
    told: list[Record] = []
    one = RealArena(cast(Any, supervisor), tmp_path / "history.jsonl", cast(Any, None))
    one.follow(told.append)
    return one, told


async def test_a_fault_of_which_nothing_is_left_is_undone(tmp_path: Path):
    supervisor = Supervisor()
    one, told = arena(supervisor, tmp_path)
    await one.begin(FAULT)
    supervisor.active.clear()  # its node was removed
    await one.undo(FAULT.id)
    assert [type(record) for record in told] == [FaultBegan, FaultEnded]


async def test_a_fault_that_cannot_be_undone_is_told_as_such(tmp_path: Path):
    supervisor = Supervisor()
    one, told = arena(supervisor, tmp_path)
    await one.begin(FAULT)
    supervisor.obeys = False
    with pytest.raises(FaultError, match="node-1 does not start"):
        await one.undo(FAULT.id)
    assert [type(record) for record in told] == [FaultBegan]


async def test_nodes_that_the_supervisor_refuses_are_no_end_of_the_run(tmp_path: Path):
    one, _ = arena(Supervisor(), tmp_path)
    with pytest.raises(ArenaError, match="exists"):
        await one.add_nodes(["added-1"])
    with pytest.raises(ArenaError, match="exists"):
        await one.remove_node("added-1")


def test_a_directory_that_has_a_cluster_is_refused(tmp_path: Path):
    (tmp_path / "cluster.json").write_text("{}")
    taken = pytest.raises(LauncherError, match="has a cluster already")
    with taken, cluster_for(ClusterSpec(), 1, tmp_path):
        raise AssertionError
