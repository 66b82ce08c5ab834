"""A failing experiment is made as small as it can be, and no smaller."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from kubeherd.chaos.experiment import Experiment, dump, parse
from kubeherd.chaos.minimise import minimised, smallest
from kubeherd.chaos.script import Injection, chance, explicit, script
from kubeherd.faults import Component, Fault, Nodes, Target

STORM = parse("""
name: some
title: Some
teaches: nothing
cluster: {nodes: 9, zones: 3, controllers: 2}
workload:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
steps:
- {every_s: [5, 10], roll: {kind: DaemonSet, name: agent}}
- {every_s: [5, 10], roll: {kind: Deployment, name: web}}
random:
- every_s: [2, 4]
  choices:
  - {fault: {kind: crash}, whom: {nodes: {count: 2}}, for_s: [1, 2], after_writes: [1, 9]}
  - {fault: {kind: freeze}, whom: {component: leader}, for_s: 5}
  - {fault: {kind: api-drop}, whom: {clients: {user: u}}}
duration_s: 60
""")
SEED = 3


def spelled_out() -> tuple[Experiment, list[Fault]]:
    """As if every second fault had begun."""
    actions = script(STORM, chance(SEED))
    begun = [one for one in actions if isinstance(one, Injection)][::2]
    targets: dict[str, Target] = {
        "crash": Nodes(("node-1", "node-2")),
        "freeze": Component("controller-manager-2"),
    }
    faults = [
        Fault(
            id=one.id,
            target=targets.get(one.effect.kind) or one.whom.clients or Component("apiserver"),
            effect=one.effect,
        )
        for one in begun
    ]
    return explicit(STORM, actions, faults), faults


def test_an_explicit_experiment_leaves_nothing_to_chance_and_does_the_same():
    whole, faults = spelled_out()
    assert parse(dump(whole)) == whole
    first, second = (script(whole, chance(seed)) for seed in (1, 2))
    assert first == second
    assert [one.id for one in whole.faults] == [one.id for one in faults]
    of_old = {one.at_s: one for one in script(STORM, chance(SEED))}
    for one in first:
        old = of_old[one.at_s]
        if isinstance(one, Injection) and isinstance(old, Injection):
            assert (one.effect, one.for_s, one.after_writes, one.id) == (
                old.effect, old.for_s, old.after_writes, old.id
            )  # fmt: skip
    assert sum(isinstance(one, Injection) for one in first) == len(faults)


@pytest.mark.parametrize("culprits", [(), (0,), (19,), (3, 11), (0, 1, 2, 17), tuple(range(20))])
def test_what_it_takes_is_left_and_nothing_else(culprits: tuple[int, ...]):
    tried: list[Sequence[int]] = []

    def fails(parts: Sequence[int]) -> bool:
        tried.append(parts)
        return set(culprits) <= set(parts)

    assert list(smallest(range(20), fails)) == list(culprits)
    assert len(tried) < 20 * 20


def test_parts_that_hide_each_other_leave_something_that_fails():
    """Not every failure is monotone: an even number of parts passes."""
    kept = smallest(range(9), lambda parts: len(parts) % 2 == 1 and len(parts) >= 3)
    assert len(kept) == 3


def moment(at_s: float | tuple[float, float] | None) -> float:
    """Of an experiment in which nothing is left to chance."""
    assert isinstance(at_s, float | int), at_s
    return at_s


def fails(experiment: Experiment) -> bool:
    """It takes a certain fault, a roll after it, and two nodes."""
    culprit = [moment(one.at_s) for one in experiment.faults if one.id == CULPRIT]
    rolls = [moment(one.at_s) for one in experiment.steps if one.roll and one.roll.name == "web"]
    after = [at_s for at_s in rolls if culprit and at_s > culprit[0]]
    return bool(after) and experiment.cluster.nodes >= 2 and experiment.duration_s > min(after)


CULPRIT = spelled_out()[0].faults[4].id


def test_faults_steps_nodes_and_time_are_what_it_takes():
    whole, _ = spelled_out()
    small = minimised(whole, fails)
    assert fails(small)
    assert [one.id for one in small.faults] == [CULPRIT]
    assert len(small.steps) == 1
    assert not small.workload
    cluster = small.cluster
    assert (cluster.nodes, cluster.controllers, cluster.zones) == (2, 1, 0)
    assert small.duration_s < 15
    assert {one.at_s for one in small.faults} == {1.0}, "begun at once, at a round moment"
    assert parse(dump(small)) == small


def test_it_asks_so_often_and_no_more_and_keeps_what_it_has():
    whole, _ = spelled_out()
    asked = 0

    def counted(experiment: Experiment) -> bool:
        nonlocal asked
        asked += 1
        return fails(experiment)

    some = minimised(whole, counted, tries=10)
    assert asked == 10
    assert fails(some)
    assert len(some.faults) < len(whole.faults)


def test_what_fails_by_itself_is_left_with_nothing():
    whole, _ = spelled_out()
    small = minimised(whole, lambda _experiment: True)
    assert (small.faults, small.steps, small.workload) == ((), (), [])
    assert replace(small.cluster, nodes=1) == small.cluster
