"""Rollout controls beyond Kubernetes (docs/rollout-controls.md)."""

from typing import Any

import pytest
from daemonset_world import ON_DELETE, World, created, daemonset, deleted, node, nodes, rolling

from kubeherd.cluster.api.objects import DaemonSetUpdateStrategy
from kubeherd.controller.daemonset.model import Reason
from kubeherd.controller.daemonset.rollout import PARTITION, PAUSED, PROGRESS_HOLD, SELECTOR


def updated(
    annotations: dict[str, str],
    *,
    count: int = 10,
    strategy: DaemonSetUpdateStrategy | None = None,
    **kwargs: Any,
) -> World:
    """A settled DaemonSet with these annotations that just got another image."""
    world = World(
        daemonset(annotations=annotations, strategy=strategy or rolling("100%"), **kwargs),
        nodes(count),
    )
    world.settle()
    world.update("img:2")
    return world


def events(world: World) -> list[tuple[str, str, str]]:
    return [(e.type.value, e.reason, e.message) for e in world.plan().events]


def test_paused_holds_everything_and_says_so_once() -> None:
    world = updated({PAUSED: "true"})
    chosen = world.plan()
    assert not deleted(chosen)
    assert events(world) == [
        ("Normal", "RolloutHeld", "the rollout is paused (kubeherd.io/rollout-paused)")
    ]
    world.apply(chosen)
    assert events(world) == []


def test_paused_holds_unavailable_old_pods_too() -> None:
    world = updated({PAUSED: "true"})
    world.make_unready(*world.pods)
    assert not deleted(world.plan())


def test_paused_false_holds_nothing() -> None:
    assert len(deleted(updated({PAUSED: "false"}).plan())) == 10


@pytest.mark.parametrize(
    ("partition", "replaced"), [("0", 10), ("3", 7), ("10", 0), ("12", 0), ("25%", 7), ("100%", 0)]
)
def test_partition_keeps_pods_old(partition: str, replaced: int) -> None:
    world = updated({PARTITION: partition})
    world.settle()
    assert len(world.by_hash(world.hash)) == replaced
    assert len(world.pods) == 10


def test_partition_replaces_unavailable_pods_first() -> None:
    world = updated({PARTITION: "9"})
    broken = sorted(world.pods)[7]
    world.make_unready(broken)
    assert deleted(world.plan()) == [broken]


def test_partition_is_told_when_it_is_reached() -> None:
    world = updated({PARTITION: "9"})
    assert events(world) == []
    world.sync()
    assert events(world) == [
        (
            "Normal",
            Reason.ROLLOUT_HELD,
            "9 pods are kept at an old revision (kubeherd.io/rollout-partition)",
        )
    ]


def test_partition_limits_surge_as_well() -> None:
    world = updated({PARTITION: "8"}, strategy=rolling(0, "100%"))
    assert len(created(world.plan())) == 2
    world.settle()
    assert len(world.by_hash(world.hash)) == 2
    assert len(world.pods) == 10


def test_selector_limits_the_rollout_to_canary_nodes() -> None:
    world = updated({SELECTOR: "tier=canary"}, count=0)
    world.nodes = [node("n0"), node("n1", labels={"tier": "canary"}), node("n2")]
    world.update("img:1")
    world.settle()
    world.update("img:2")
    world.settle()
    assert [p.spec.node_name for p in world.by_hash(world.hash)] == ["n1"]
    assert "do not match the node selector" in world.hold


def test_progress_waits_for_updated_pods_to_be_available_for_a_time() -> None:
    world = updated({PROGRESS_HOLD: "60"}, strategy=rolling(1), min_ready_s=10)
    world.time_s = 1000
    assert world.sync() == (0, 1)
    assert world.sync() == (1, 0)
    chosen = world.plan()
    assert chosen.requeue_after_s is None, "an event will tell when the new pod is ready"
    world.make_ready()
    world.time_s = 1030
    held = world.plan()
    assert not deleted(held)
    assert held.requeue_after_s == 40
    world.time_s = 1070
    assert world.sync() == (0, 1)
    assert world.hold == ""


def test_an_updated_pod_that_is_not_ready_holds_progress() -> None:
    world = updated({PROGRESS_HOLD: "1"}, strategy=rolling(2))
    world.sync()
    world.sync()
    world.make_ready()
    world.time_s = 100
    world.make_unready(world.by_hash(world.hash)[0].metadata.name)
    assert not deleted(world.plan())
    assert "available for 1 s" in world.plan().hold


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (PAUSED, "yes"),
        (PARTITION, "many"),
        (PARTITION, "-1"),
        (SELECTOR, "a in (b"),
        (PROGRESS_HOLD, "soon"),
        (PROGRESS_HOLD, "-5"),
    ],
)
def test_a_value_that_cannot_be_read_holds_and_warns(key: str, value: str) -> None:
    world = updated({key: value})
    chosen = world.plan()
    assert not deleted(chosen)
    (event,) = chosen.events
    assert (event.type, event.reason) == ("Warning", Reason.INVALID_ROLLOUT_CONTROL)
    assert event.message.startswith(f'annotation {key}: "{value}" is not ')
    world.apply(chosen)
    assert not world.plan().events


def test_new_nodes_and_duplicates_are_served_while_held() -> None:
    world = updated({PAUSED: "true"}, count=2)
    world.nodes = nodes(3)
    assert world.sync() == (1, 0)


def test_on_delete_knows_no_holds() -> None:
    world = updated({PAUSED: "nonsense"}, strategy=ON_DELETE)
    assert events(world) == []


def test_nothing_is_held_when_all_is_updated() -> None:
    world = World(daemonset(annotations={PAUSED: "true", PARTITION: "bad"}), nodes(3))
    world.settle()
    assert world.hold == ""
    assert events(world) == []
