"""What a seed makes of an experiment, and who is drawn."""

import pytest

from kubeherd.chaos.experiment import Chosen, parse
from kubeherd.chaos.script import Doing, Injection, draw, script
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults.effects import FaultKind

EXPERIMENT = parse("""
name: some
title: Some
teaches: nothing
duration_s: 100
steps:
- {every_s: [5, 10], roll: {kind: DaemonSet, name: agent}}
faults:
- {at_s: [10, 20], for_s: 30, fault: {kind: partition}, whom: {nodes: {zone: a}}}
- {at_s: 50, fault: {kind: crash}, whom: {component: apiserver}}
random:
- every_s: [2, 4]
  choices:
  - {fault: {kind: crash}, whom: {nodes: {count: 1}}, for_s: [1, 2], weight: 9}
  - {fault: {kind: freeze}, whom: {nodes: {count: 1}}, for_s: 5}
""")
NODES = {f"n{i}": {"topology.kubernetes.io/zone": "ab"[i % 2], "rank": str(i)} for i in range(6)}


def test_the_same_seed_gives_the_same_script_and_another_seed_another():
    first = script(EXPERIMENT, Rng(7))
    assert first == script(EXPERIMENT, Rng(7))
    assert first != script(EXPERIMENT, Rng(8))


def test_actions_come_in_time_and_within_it():
    actions = script(EXPERIMENT, Rng(7))
    moments = [action.at_s for action in actions]
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] < 100
    assert len({action.number for action in actions}) == len(actions)


def test_ranges_and_weights_are_kept():
    several = [one for seed in range(20) for one in script(EXPERIMENT, Rng(seed))]
    kinds = [one.effect.kind for one in several if isinstance(one, Injection)]
    assert kinds.count(FaultKind.CRASH) > 4 * kinds.count(FaultKind.FREEZE) > 0
    crashes = [
        one
        for one in several
        if isinstance(one, Injection) and one.effect.kind == "crash" and one.whom.nodes is not None
    ]
    assert all(1 <= (one.for_s or 0) <= 2 for one in crashes)
    partitions = [one for one in several if isinstance(one, Injection) and one.for_s == 30]
    assert len(partitions) == 20
    assert all(10 <= one.at_s <= 20 for one in partitions)
    rolls = [one.at_s for one in several if isinstance(one, Doing)]
    assert 20 * 9 < len(rolls) < 20 * 20


@pytest.mark.parametrize(
    ("chosen", "hurt", "drawn"),
    [
        (Chosen(zone="a"), [], {"n0", "n2", "n4"}),
        (Chosen(zone="a"), ["n2"], {"n0", "n4"}),
        (Chosen(selector={"rank": "3"}), [], {"n3"}),
        (Chosen(names=("n1", "gone")), [], {"n1"}),
        (Chosen(percent=100), [], set(NODES)),
        (Chosen(zone="c"), [], set()),
        (Chosen(count=9), ["n0"], set(NODES) - {"n0"}),
        (Chosen(percent=50), ["n0", "n1", "n2"], set(NODES) - {"n0", "n1", "n2"}),
    ],
)
def test_who_is_drawn_where_there_is_no_choice(chosen: Chosen, hurt: list[str], drawn: set[str]):
    assert set(draw(chosen, NODES, hurt, Rng(1))) == drawn


@pytest.mark.parametrize(
    ("chosen", "count"), [(Chosen(), 1), (Chosen(count=2), 2), (Chosen(percent=30), 2)]
)
def test_how_many_are_drawn(chosen: Chosen, count: int):
    seen = {draw(chosen, NODES, [], Rng(seed)) for seed in range(200)}
    assert {len(names) for names in seen} == {count}
    assert {name for names in seen for name in names} == set(NODES)


def test_one_zone_is_drawn_whole():
    seen = {draw(Chosen(zone="*"), NODES, [], Rng(seed)) for seed in range(50)}
    assert seen == {("n0", "n2", "n4"), ("n1", "n3", "n5")}
