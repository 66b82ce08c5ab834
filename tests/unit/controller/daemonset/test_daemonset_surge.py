"""RollingUpdate with maxSurge (spec 5.2, 8.4; TestSurge... and update_test.go)."""

from typing import Any

import pytest
from daemonset_world import World, daemonset, deleted, node, nodes, pod, replaced, rolling, taint


def surging(count: int = 5, max_surge: int | str = 1, **kwargs: Any) -> World:
    return World(daemonset(strategy=rolling(0, max_surge), **kwargs), nodes(count))


def fill(world: World, where: str, *states: str) -> None:
    """Put pods on a node: ``new``, ``new-ready``, ``old``, ``old-ready``; oldest first."""
    hash_ = world.hash
    for index, state in enumerate(states):
        name = f"{where}-{index}-{state}"
        world.pods[name] = pod(
            name,
            where,
            hash_=hash_ if state.startswith("new") else "old",
            ready=state.endswith("ready"),
            created_s=index,
        )


def test_duplicates_are_pruned_to_the_oldest_of_each_kind() -> None:
    world = surging()
    fill(world, "n1", "new")
    fill(world, "n2", "new", "new")
    fill(world, "n3", "new", "new", "new", "new", "new")
    chosen = world.plan()
    assert list(chosen.creates) == ["n0", "n4"]
    assert len(chosen.deletes) == 5
    assert {"n2-0-new", "n3-0-new"}.isdisjoint(set(deleted(chosen)))


def test_a_ready_old_pod_stays_beside_a_new_one_that_is_not() -> None:
    world = surging()
    fill(world, "n1", "old-ready", "new")
    fill(world, "n2", "new", "old-ready", "new")
    assert list(world.plan().creates) == ["n0", "n3", "n4"]
    assert set(deleted(world.plan())) == {"n2-2-new"}


def test_a_terminating_pod_does_not_keep_its_node_empty() -> None:
    world = surging(1)
    world.pods["p"] = pod("p", "n0", hash_="old", deleting=True)
    assert world.sync() == (1, 0)


def test_an_unready_old_pod_goes_when_there_is_a_new_one() -> None:
    world = surging()
    fill(world, "n1", "new", "old")
    fill(world, "n2", "new", "old-ready", "old")
    assert list(world.plan().creates) == ["n0", "n3", "n4"]
    assert set(deleted(world.plan())) == {"n1-1-old", "n2-2-old"}


def test_old_pods_wait_for_min_ready_seconds_of_the_new_one() -> None:
    world = surging(min_ready_s=15)
    fill(world, "n1", "new-ready")
    fill(world, "n2", "old-ready", "new-ready")
    fill(world, "n3", "new", "old-ready", "new")
    world.time_s = 14
    assert list(world.plan().creates) == ["n0", "n4"]
    assert set(deleted(world.plan())) == {"n3-2-new"}
    world.time_s = 15
    assert set(deleted(world.plan())) == {"n2-0-old-ready", "n3-2-new"}


def test_the_next_look_is_when_the_first_new_pod_becomes_available() -> None:
    world = surging(2, 2, min_ready_s=15)
    fill(world, "n0", "old-ready", "new-ready")
    fill(world, "n1", "old-ready", "new")
    world.time_s = 11
    assert world.plan().requeue_after_s == 4, "though ready and available (of old pods) agree"
    world.make_ready("n1-1-new")
    world.time_s = 16
    assert deleted(world.plan()) == ["n0-0-old-ready"]
    assert world.plan().requeue_after_s == 10
    world.time_s = 26
    assert world.plan().requeue_after_s is None


def test_creates_come_before_deletes_in_waves() -> None:
    world = surging(5, 2)
    world.settle()
    world.update("img:2")
    waves = []
    for _ in range(5):
        waves.append(world.sync())
        world.make_ready()
    assert waves == [(2, 0), (2, 2), (1, 2), (0, 1), (0, 0)]
    assert len(world.by_hash(world.hash)) == 5


def test_unready_old_pods_all_get_a_new_one_at_once() -> None:
    world = surging(5, 3)
    world.settle()
    world.update("img:2")
    world.make_unready(*world.pods)
    assert world.sync() == (5, 0)
    assert world.sync() == (0, 5)


def test_surge_with_min_ready_seconds_and_a_moving_clock() -> None:
    world = surging(5, 3, min_ready_s=15)
    world.sync()
    world.make_ready()
    world.time_s = 20
    world.sync()
    world.update("img:2")
    assert world.sync() == (3, 0)
    world.make_ready()
    assert world.sync() == (0, 0), "the new pods are not available yet"
    world.time_s = 34
    assert world.sync() == (0, 0)
    world.time_s = 35
    assert world.sync() == (2, 3)


def test_taint_no_longer_tolerated_while_surging() -> None:
    toleration = {"tolerations": [{"key": "x", "operator": "Exists"}]}
    world = surging(0, 1, spec=toleration)
    world.nodes = [node("n0", taints=[taint("x")]), *nodes(5)[1:]]
    world.settle()
    assert len(world.pods) == 5
    spec = {"containers": [{"name": "c", "image": "img:1"}]}
    world.ds = replaced(world.ds, template={**world.ds.spec.template, "spec": spec})
    waves = []
    for _ in range(6):
        waves.append(world.sync())
        world.make_ready()
    # Five are available and four wanted, so the unwanted one goes at once.
    assert waves == [(1, 1), (1, 1), (1, 1), (1, 1), (0, 1), (0, 0)]
    assert len(world.pods) == 4
    assert {p.spec.node_name for p in world.pods.values()} == {"n1", "n2", "n3", "n4"}


def test_an_old_pod_on_a_missing_node_fails_the_step() -> None:
    world = surging(1)
    world.settle()
    world.pods["lost"] = pod("lost", "gone", hash_="old", ready=True)
    chosen = world.plan()
    assert chosen.failure == 'couldn\'t get node for nodeName "gone": node "gone" not found'
    assert not chosen.delete_revisions


@pytest.mark.parametrize(("ready", "unwanted_deleted"), [(3, 0), (4, 1)])
def test_unwanted_pods_wait_until_enough_are_available(ready: int, unwanted_deleted: int) -> None:
    """TestDaemonSetRollingUpdateWithTolerations: four wanted nodes, one old pod elsewhere."""
    world = surging(0, 1)
    world.nodes = [node("bad", taints=[taint("x")]), *nodes(4)]
    hash_ = world.hash
    world.pods["old"] = pod("old", "bad", hash_="old", ready=True)
    for index in range(4):
        world.pods[f"p{index}"] = pod(f"p{index}", f"n{index}", hash_=hash_, ready=index < ready)
    assert len(deleted(world.plan())) == unwanted_deleted


def test_rollout_over_zones_with_tolerations() -> None:
    """The long scenario of TestDaemonSetRollingUpdateWithTolerations, as numbers of pods."""

    def zones(*tolerated: str) -> dict[str, object]:
        keys = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tolerated]
        return {"containers": [{"name": "c", "image": "img:1"}], "tolerations": keys}

    world = surging(0, 1, spec=zones("y", "common"))
    world.nodes = [
        node(f"{zone}{i}", taints=[taint(zone)]) for zone in ("y", "z", "common") for i in range(2)
    ]
    world.settle()
    assert len(world.pods) == 4

    def switch(*tolerated: str) -> None:
        template = {**world.ds.spec.template, "spec": zones(*tolerated)}
        world.ds = replaced(world.ds, template=template)

    switch("z", "common")
    world.sync()
    world.sync()
    assert len(world.pods) == 7
    world.settle()
    assert {p.spec.node_name[:-1] for p in world.pods.values()} == {"z", "common"}
    switch("y", "z", "common")
    world.sync()
    world.sync()
    assert len(world.pods) == 7
    world.settle()
    assert len(world.pods) == 6
    switch()
    world.settle()
    assert not world.pods
