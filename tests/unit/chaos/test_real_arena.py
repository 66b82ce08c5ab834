"""An arena of real processes, without them: what the supervisor refuses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubeherd.chaos.arena import ArenaError
from kubeherd.chaos.experiment import ClusterSpec
from kubeherd.chaos.realarena import RealArena, cluster_for
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.faults import Fault, FaultError, Nodes, effects
from kubeherd.history import Ended, FaultBegan, Record, Step
from kubeherd.history.files import encode

FAULT = Fault(id="f-1", target=Nodes(("node-1",)), effect=effects.Crash())


class Supervisor:
    """As `ClusterHandle`: hurts, and refuses all else."""

    settings = SimpleNamespace(speed=10.0)

    def hurt(self, _fault: Fault) -> None:
        pass

    def undo(self, fault_id: str) -> None:
        raise LauncherError(f"node-1 does not start: {fault_id}")

    def node(self, _op: object, *names: str) -> None:
        raise LauncherError(f'node "{names[0]}" exists')


def arena(supervisor: Supervisor, tmp_path: Path) -> tuple[RealArena, list[Record]]:
    told: list[Record] = []
    one = RealArena(cast(Any, supervisor), tmp_path / "history.jsonl", cast(Any, None))
    one.follow(told.append)
    return one, told


async def test_what_the_server_records_is_told_as_one_history_over_all_its_lives(tmp_path: Path):
    one, told = arena(Supervisor(), tmp_path)
    first, second = Step(at=1.0, name="first"), Step(at=3.0, name="second")
    file = tmp_path / "history.jsonl"
    file.write_bytes(encode(first) + encode(Ended(at=2.0)))
    one.catch_up()
    with file.open("ab") as more:
        more.write(encode(second)[:5])
        more.flush()
        one.catch_up()
        more.write(encode(second)[5:])
    one.catch_up()
    assert told == [first, second]


async def test_a_fault_that_cannot_be_undone_is_told_as_such(tmp_path: Path):
    one, told = arena(Supervisor(), tmp_path)
    await one.begin(FAULT)
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
