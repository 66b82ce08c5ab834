"""Failed and succeeded daemon pods (spec 5.2 B and C; TestDaemonKillFailedPods...)."""

import pytest
from daemonset_world import World, daemonset, deleted, nodes, pod, rolling

from kubeherd.controller.daemonset import backoff
from kubeherd.controller.daemonset.backoff import FailedPodBackoff
from kubeherd.controller.daemonset.model import BackoffEntry, Reason


def world_with(*phases: str) -> World:
    world = World(daemonset(), nodes(1))
    hash_ = world.hash
    for index, phase in enumerate(phases):
        name = f"p{index}"
        world.pods[name] = pod(name, "n0", hash_=hash_, phase=phase)
    return world


@pytest.mark.parametrize(
    ("phases", "creates", "deletes", "failed_events"),
    [
        ([], 1, 0, 0),
        (["Running"], 0, 0, 0),
        (["Failed"], 0, 1, 1),
        (["Running", "Running"], 0, 1, 0),
        (["Failed", "Running"], 0, 1, 1),
        (["Failed", "Running", "Running"], 0, 2, 1),
    ],
)
def test_failed_pods_are_deleted_and_duplicates_pruned(
    phases: list[str], creates: int, deletes: int, failed_events: int
) -> None:
    chosen = world_with(*phases).plan()
    assert (len(chosen.creates), len(chosen.deletes)) == (creates, deletes)
    assert [e.reason for e in chosen.events] == [Reason.FAILED_DAEMON_POD] * failed_events


def test_the_event_names_pod_and_node() -> None:
    (event,) = world_with("Failed").plan().events
    assert event.type == "Warning"
    assert event.message == "Found failed daemon pod ns/p0 on node n0, will try to kill it"


def test_a_succeeded_pod_is_deleted_without_backoff() -> None:
    chosen = world_with("Succeeded").plan()
    (event,) = chosen.events
    assert (event.type, event.reason) == ("Normal", Reason.SUCCEEDED_DAEMON_POD)
    assert event.message == "Found succeeded daemon pod ns/p0 on node n0, will try to delete it"
    assert not chosen.backoff
    assert not chosen.creates


def test_backoff_holds_the_next_deletion_back() -> None:
    world = world_with("Failed")
    assert world.sync() == (0, 1)
    world.pods["again"] = pod("again", "n0", hash_=world.hash, phase="Failed")
    world.time_s = 0.9
    waiting = world.plan()
    assert not waiting.deletes
    assert waiting.requeue_after_s == 1.0
    assert not waiting.backoff
    world.time_s = 1.0
    assert world.sync() == (0, 1)
    assert world.backoff["n0"].delay_s == 2.0


def test_several_failed_pods_of_a_node_share_the_backoff() -> None:
    chosen = world_with("Failed", "Failed").plan()
    assert deleted(chosen) == ["p0"]
    assert chosen.requeue_after_s == 1.0


def test_with_surge_a_failed_pod_does_not_keep_its_node_empty() -> None:
    world = World(daemonset(strategy=rolling(0, 1)), nodes(1))
    world.pods["p"] = pod("p", "n0", phase="Failed")
    assert world.sync() == (1, 1)


def test_delay_doubles_up_to_fifteen_minutes() -> None:
    entry: BackoffEntry | None = None
    delays = []
    for moment in range(12):
        entry = backoff.next_entry(entry, float(moment))
        delays.append(entry.delay_s)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_an_entry_expires_after_twice_the_cap() -> None:
    entry = BackoffEntry(900.0, 0.0)
    assert backoff.remaining_delay_s(entry, 899.0) == 900.0
    assert backoff.remaining_delay_s(entry, 900.0) is None
    assert backoff.next_entry(entry, 1800.0).delay_s == 900.0
    assert backoff.next_entry(entry, 1801.0).delay_s == 1.0


def test_entries_are_kept_by_uid_generation_and_node() -> None:
    kept = FailedPodBackoff()
    kept.record("u", 1, {"n0": BackoffEntry(1.0, 0.0)}, 0.0)
    assert kept.of("u", 1) == {"n0": BackoffEntry(1.0, 0.0)}
    assert kept.of("u", 2) == {}
    assert kept.of("v", 1) == {}
    kept.record("v", 1, {"n1": BackoffEntry(1.0, 2000.0)}, 2000.0)
    assert kept.of("u", 1) == {}
