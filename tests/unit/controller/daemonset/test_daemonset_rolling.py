"""RollingUpdate without surge, and OnDelete (spec 8; update_test.go)."""

from typing import Any

import pytest
from daemonset_world import (
    ON_DELETE,
    World,
    daemonset,
    deleted,
    node,
    nodes,
    now,
    placement,
    pod,
    rolling,
    taint,
)

from kubeherd.controller.daemonset import limits
from kubeherd.controller.daemonset.model import Terms
from kubeherd.controller.daemonset.site import Candidate, NodeState
from kubeherd.controller.daemonset.strategy import unavailable


def running(count: int, max_unavailable: int | str, **kwargs: Any) -> World:
    """A settled DaemonSet, just updated to another image."""
    world = World(daemonset(strategy=rolling(max_unavailable), **kwargs), nodes(count))
    world.settle()
    world.update("img:2")
    return world


def test_waves_of_max_unavailable() -> None:
    world = running(5, 2)
    waves = []
    for _ in range(7):
        waves.append(world.sync())
        if not world.plan().creates:
            world.make_ready()
    assert waves == [(0, 2), (2, 0), (0, 2), (2, 0), (0, 1), (1, 0), (0, 0)]


def test_the_rollout_stalls_while_new_pods_are_not_ready() -> None:
    world = running(5, 3)
    assert [world.sync() for _ in range(4)] == [(0, 3), (3, 0), (0, 0), (0, 0)]
    assert len(world.by_hash(world.hash)) == 3


def test_terminating_pods_use_the_budget() -> None:
    world = running(5, 2)
    world.graceful = True
    assert world.sync() == (0, 2)
    assert world.sync() == (0, 0)
    world.finish_deletions()
    assert world.sync() == (2, 0)


def test_unavailable_pods_of_an_older_revision_go_first() -> None:
    world = running(5, 3)
    for _ in range(2):
        world.sync()  # three pods of the second image, never ready
    second = {p.metadata.name for p in world.by_hash(world.hash)}
    world.update("img:3")
    chosen = world.plan()
    assert set(deleted(chosen)) == second
    world.apply(chosen)
    world.sync()
    assert world.sync() == (0, 0), "the ready pods of the first image stay: no budget is left"


@pytest.mark.parametrize("max_unavailable", [*range(10), 10, 11])
def test_healthy_old_pods_are_saved(max_unavailable: int) -> None:
    world = running(20, max_unavailable)
    broken = sorted(world.pods)[:10]
    world.make_unready(*broken)
    gone = set(deleted(world.plan()))
    assert gone >= set(broken)
    assert len(gone) == 10 + max(0, max_unavailable - 10)


def test_only_unavailable_old_pods_go_when_the_budget_is_spent_by_new_ones() -> None:
    world = World(daemonset("img:2", strategy=rolling(10)), nodes(100))
    hash_ = world.hash
    for i in range(100):
        new, ready = i < 88, i >= 90
        world.pods[f"p{i}"] = pod(f"p{i}", f"n{i}", hash_=hash_ if new else "old", ready=ready)
    assert set(deleted(world.plan())) == {"p88", "p89"}


def test_all_unavailable_old_pods_are_replaced_at_once() -> None:
    world = running(5, 3)
    world.make_unready(*world.pods)
    assert world.sync() == (0, 5)
    assert world.sync() == (5, 0)


@pytest.mark.parametrize("strategy", [rolling(2), rolling(0, 2), ON_DELETE])
def test_a_change_of_the_strategy_alone_moves_no_pod(strategy: object) -> None:
    world = World(daemonset(), nodes(5))
    world.settle()
    world.update(update_strategy=strategy)
    assert world.sync() == (0, 0)
    assert world.ds.status.updated_number_scheduled == 5


def test_on_delete_replaces_only_what_is_deleted_by_hand() -> None:
    world = World(daemonset(strategy=ON_DELETE), nodes(2))
    world.settle()
    world.update("img:2")
    assert world.sync() == (0, 0)
    assert world.ds.status.updated_number_scheduled == 0
    world.delete(next(iter(world.pods)))
    assert world.sync() == (1, 0)
    world.sync()
    assert world.ds.status.updated_number_scheduled == 1


def test_min_ready_seconds_slow_a_rollout_down() -> None:
    world = running(2, 1, min_ready_s=10)
    world.time_s = 100
    assert world.sync() == (0, 1)
    assert world.sync() == (1, 0)
    world.make_ready()
    assert world.sync() == (0, 0)
    world.time_s = 109
    assert world.sync() == (0, 0)
    world.time_s = 110
    assert world.sync() == (0, 1)


def test_a_pod_with_the_template_generation_is_updated_whatever_its_hash() -> None:
    annotations = {"deprecated.daemonset.template.generation": "7"}
    world = World(daemonset(annotations=annotations), nodes(2))
    labels = {"app": "a", "pod-template-generation": "7"}
    world.pods["new"] = pod("new", "n0", hash_="x", labels=labels, ready=True)
    world.pods["old"] = pod("old", "n1", hash_="x", ready=True)
    assert deleted(world.plan()) == ["old"]


def test_at_most_250_deletes() -> None:
    assert running(300, "100%").sync() == (0, 250)


@pytest.mark.parametrize(
    ("surge", "unavailable", "desired", "expected"),
    [
        (0, 0, 0, (0, 0)),
        (0, 0, 3, (0, 1)),
        (0, 1, 2, (0, 1)),
        (0, "50%", 3, (0, 2)),
        ("50%", 0, 3, (2, 0)),
        (0, "25%", 0, (0, 0)),
        (0, "0%", 5, (0, 1)),
        ("1%", 0, 5, (1, 0)),
        (0, "100%", 7, (0, 7)),
    ],
)
def test_numbers_and_percentages(
    surge: int | str, unavailable: int | str, desired: int, expected: tuple[int, int]
) -> None:
    ds = daemonset(strategy=rolling(unavailable, surge))
    assert limits.surge_and_unavailable(ds, desired) == expected


def test_on_delete_has_no_numbers() -> None:
    assert limits.surge_and_unavailable(daemonset(strategy=ON_DELETE), 5) == (0, 0)


def test_an_unreadable_number_fails_the_sync_but_not_the_status() -> None:
    world = World(daemonset(strategy=rolling("many")), nodes(1))
    world.sync()
    chosen = world.plan()
    assert 'not a percentage "many"' in chosen.failure
    assert chosen.status is not None


def test_nodes_that_should_run_count_even_without_a_pod() -> None:
    found = [*nodes(3), node("n3", taints=[taint("x")])]
    made = placement(daemonset(), found, [pod("a", "n1"), pod("b", "missing", ready=True)])
    made.refresh(Terms(hash="h"), now().age_s)
    states = {name: made.site(name).rolling.state for name in ("n0", "n1", "n2", "n3", "missing")}
    assert states == {
        "n0": NodeState.EMPTY,
        "n1": NodeState.OLD,
        "n2": NodeState.EMPTY,
        "n3": None,
        "missing": NodeState.OLD,
    }
    assert unavailable(made) == 3


def test_what_is_about_to_happen_is_seen_only_meanwhile() -> None:
    pods = [pod("a", "n1", ready=True), pod("b", "n2", ready=True, hash_="h")]
    made = placement(daemonset(), nodes(4), pods)
    made.refresh(Terms(hash="h"), now().age_s)
    for _ in range(2):
        assert (unavailable(made), list(made.candidates(Candidate.AVAILABLE))) == (2, ["n1"])
        with made.after(["n0"], [pods[0]]):
            assert (unavailable(made), list(made.candidates(Candidate.AVAILABLE))) == (3, [])
            assert made.node_pods("n1").state is NodeState.EMPTY


def test_a_clock_that_is_set_back_makes_pods_unavailable_again() -> None:
    made = placement(daemonset(), nodes(1), [pod("a", "n0", ready=True, ready_at_s=10)])
    terms = Terms(min_ready_s=5)
    for seconds, available, left_s in ((12, 0, 3), (15, 1, None), (11, 0, 4), (16, 1, None)):
        made.refresh(terms, now(seconds).age_s)
        assert (made.numbers().available, made.next_available_s()) == (available, left_s)


def test_no_nodes_no_budget() -> None:
    assert limits.surge_and_unavailable(daemonset(strategy=rolling("50%")), 0) == (0, 0)
