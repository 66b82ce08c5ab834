"""What upstream's sync_test.go, rolling_test.go and recreate_test.go pin: sizes and history."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from deployment_world import at, deployment, replica_set, running, sized

from kubeherd.cluster.api.objects import Pod, PodStatus
from kubeherd.controller.deployment import rolling
from kubeherd.controller.deployment.history import surplus
from kubeherd.controller.deployment.limits import NO_LIMIT
from kubeherd.controller.deployment.recreate import old_pods_running
from kubeherd.controller.deployment.replicasets import Divided
from kubeherd.controller.deployment.scaling import is_scaled, scale
from kubeherd.controller.workload.apps import Deployment, ReplicaSet, ReplicaSetStatus

Sizes = Sequence[int]


@pytest.mark.parametrize(
    ("before", "after", "new", "old", "expected_new", "expected_old"),
    [
        pytest.param(10, 12, 10, (), 12, (), id="normal scaling event: 10 -> 12"),
        pytest.param(10, 5, 10, (), 5, (), id="normal scaling event: 10 -> 5"),
        pytest.param(5, 10, 2, (3,), 4, (6,), id="proportional scaling: 5 -> 10"),
        pytest.param(5, 3, 2, (3,), 1, (2,), id="proportional scaling: 5 -> 3"),
        pytest.param(9, 4, 8, (1,), 4, (0,), id="proportional scaling: 9 -> 4"),
        pytest.param(7, 10, 2, (3, 2), 3, (4, 3), id="proportional scaling: 7 -> 10"),
        pytest.param(13, 8, 2, (8, 3), 1, (5, 2), id="proportional scaling: 13 -> 8"),
        pytest.param(3, 4, 1, (1, 1), 2, (1, 1), id="leftover distribution: 3 -> 4"),
        pytest.param(3, 2, 1, (1, 1), 1, (1, 0), id="leftover distribution: 3 -> 2"),
        pytest.param(4, 5, None, (2, 2), None, (3, 2), id="no new replica set: 4 -> 5"),
        pytest.param(6, 0, 3, (2, 1), 0, (0, 0), id="proportional scaling: 6 -> 0"),
        pytest.param(6, 6, 0, (0, 0), 6, (0, 0), id="proportional scaling: 0 -> 6"),
        pytest.param(10, 14, None, (7, 3), None, (10, 4), id="both size and template"),
    ],
)
def test_scale(
    before: int,
    after: int,
    new: int | None,
    old: Sizes,
    expected_new: int | None,
    expected_old: Sizes,
) -> None:
    found = scaled(deployment(before), deployment(after), new, old)
    assert found == (expected_new, list(expected_old))


@pytest.mark.parametrize(
    ("before", "after", "new", "old", "expected_new", "expected_old"),
    [
        pytest.param((10, 2), (20, 2), 6, (6,), 11, (11,), id="deployment with surge pods"),
        pytest.param((10, 3), (50, 6), 5, (8,), 22, (34,), id="change both surge and size"),
    ],
)
def test_scale_with_surge(
    before: tuple[int, int],
    after: tuple[int, int],
    new: int,
    old: Sizes,
    expected_new: int,
    expected_old: Sizes,
) -> None:
    was, will = (deployment(replicas, surge=surge) for replicas, surge in (before, after))
    assert scaled(was, will, new, old) == (expected_new, list(expected_old))


def scaled(
    was: Deployment, will: Deployment, new: int | None, old: Sizes
) -> tuple[int | None, list[int]]:
    """The sizes afterwards; the old ones are given the younger first, as upstream's tables are."""
    olds = [sized(replica_set(f"v{9 - i}", n, age=-i), was) for i, n in enumerate(old, 1)]
    newest = None if new is None else sized(replica_set("v9", new), was)
    sizes = scale(will, Divided(newest, olds)).sizes
    return (
        None if newest is None else sizes.get("v9", new),
        [sizes.get(one.metadata.name, one.spec.replicas or 0) for one in olds],
    )


def test_what_could_not_be_written_is_done_by_the_next_sync() -> None:
    """Scaled from 3 to 5: the new one is at 2, the write of the middle one failed."""
    was, will = deployment(5), deployment(5)
    olds = [sized(replica_set("v2", 1, age=1), deployment(3)), sized(replica_set("v1", 1), was)]
    new = sized(replica_set("v3", 2, age=2), was)
    assert is_scaled(will, Divided(new, olds))
    assert scale(will, Divided(new, olds)).sizes == {"v3": 2, "v2": 2, "v1": 1}


def test_a_saturated_new_replica_set_sends_the_old_ones_down() -> None:
    given = deployment(2, surge=1, unavailable=1)
    new, old = sized(running(replica_set("v2", 2)), given), running(replica_set("v1", 1))
    assert scale(given, Divided(new, [old])).sizes == {"v1": 0}


def test_a_saturated_but_broken_new_replica_set_does_not_affect_old_pods() -> None:
    given = deployment(2, surge=1, unavailable=1)
    new = sized(running(replica_set("v2", 2), available=0), given)
    old = sized(running(replica_set("v1", 1)), given)
    assert scale(given, Divided(new, [old])).sizes == {"v2": 2, "v1": 1}


def test_nothing_is_scaled_without_replica_sets() -> None:
    assert scale(deployment(3), Divided()).sizes == {}


def test_of_replica_sets_without_pods_the_youngest_gets_them() -> None:
    olds = [replica_set("v1", 0), replica_set("v2", 0, age=1)]
    assert scale(deployment(3), Divided(None, olds)).sizes == {"v2": 3}


def test_recreate_is_not_scaled_in_proportion() -> None:
    sets = Divided(replica_set("v2", 1), [replica_set("v1", 1)])
    assert scale(deployment(5, strategy="Recreate"), sets).sizes == {}


def test_a_scaling_event_is_seen_by_the_annotation_of_active_replica_sets() -> None:
    given = deployment(3)
    for replicas, noted, expected in ((1, 3, False), (1, 2, True), (0, 2, False)):
        one = sized(replica_set("v1", replicas), deployment(noted))
        assert is_scaled(given, Divided(None, [one])) is expected
    assert not is_scaled(given, Divided(None, [replica_set("v1", 1)]))


@pytest.mark.parametrize(
    ("replicas", "surge", "old", "new", "expected"),
    [
        (10, 0, 10, 0, 0),
        (10, 2, 10, 0, 2),
        (10, 2, 5, 0, 7),
        (10, 2, 10, 2, 2),
        (10, 2, 2, 11, 10),
    ],
)
def test_reconcile_new_replica_set(
    replicas: int, surge: int, old: int, new: int, expected: int
) -> None:
    sets = Divided(replica_set("v2", new), [replica_set("v1", old)])
    given = deployment(replicas, surge=surge)
    assert sets.new is not None
    assert rolling.new_size(given, sets, sets.new) == expected


def test_recreate_makes_all_at_once() -> None:
    new = replica_set("v2", 1)
    sets = Divided(new, [replica_set("v1", 5)])
    assert rolling.new_size(deployment(3, strategy="Recreate"), sets, new) == 3


@pytest.mark.parametrize(
    ("unavailable", "old", "new", "old_up", "new_up", "expected"),
    [
        (0, 10, 0, 10, 0, [("v1", 9)]),  # neither surge nor unavailability: one may be away
        (2, 10, 0, 10, 0, [("v1", 8)]),
        (2, 10, 0, 8, 0, [("v1", 8)]),  # the two that are not up anyway
        (2, 10, 0, 9, 0, [("v1", 9), ("v1", 8)]),  # one that is not up, one that is
        (2, 8, 2, 8, 0, []),  # what the new one lacks does not take the old one further down
        (2, 0, 10, 0, 10, []),
        (0, 2, 9, 3, 9, []),  # a status behind its spec: wait
    ],
)
def test_reconcile_old_replica_sets(
    unavailable: int, old: int, new: int, old_up: int, new_up: int, expected: list[rolling.Step]
) -> None:
    given = deployment(10, unavailable=unavailable)
    newest = running(replica_set("v2", new), new_up)
    sets = Divided(newest, [running(replica_set("v1", old), old_up)])
    assert rolling.old_steps(given, sets, newest) == expected


@pytest.mark.parametrize(
    ("up", "old", "unavailable", "expected"),
    [(10, 10, 0, 9), (10, 10, 2, 8), (8, 10, 2, 8), (1, 10, 2, 8)],
)
def test_old_replica_sets_lose_what_is_not_available_first(
    up: int, old: int, unavailable: int, expected: int
) -> None:
    """As much as may go in all: cleanupUnhealthyReplicas and the scaling down after it."""
    given = deployment(10, unavailable=unavailable)
    new = replica_set("v2", 0)
    steps = rolling.old_steps(given, Divided(new, [running(replica_set("v1", old), up)]), new)
    assert dict(steps)["v1"] == expected


def test_the_oldest_goes_first() -> None:
    new = running(replica_set("v3", 5))
    olds = [running(replica_set("v1", 3)), running(replica_set("v2", 5, age=1))]
    given = deployment(10, unavailable=4)
    assert rolling.old_steps(given, Divided(new, olds), new) == [("v1", 0), ("v2", 1)]


# --- history ---


def limited(limit: int | None) -> Deployment:
    return deployment(1, revision_history_limit=limit)


def old(name: str, replicas: int, there: int, **rest: Any) -> ReplicaSet:
    made = replica_set(name, replicas, **rest)
    return msgspec.structs.replace(made, status=ReplicaSetStatus(replicas=there))


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        (((0, 0), (0, 0), (0, 0)), 1, 2),
        (((0, 0), (0, 1), (1, 0), (1, 1)), 0, 1),
        (((0, 0), (0, 0)), 0, 2),
        (((1, 1), (1, 1)), 0, 0),
        (((0, 0), (0, 0), (0, 0)), NO_LIMIT, 0),
        (((0, 0), (0, 0), (0, 0)), None, 0),
    ],
)
def test_cleanup_deployment(
    sizes: Sequence[tuple[int, int]], limit: int | None, expected: int
) -> None:
    sets = [old(str(i), replicas, there) for i, (replicas, there) in enumerate(sizes)]
    assert len(surplus(limited(limit), sets)) == expected


def test_what_is_being_deleted_or_not_yet_seen_is_left_alone() -> None:
    going = old("a", 0, 0)
    metadata = msgspec.structs.replace(going.metadata, deletion_timestamp=at(1))
    assert surplus(limited(0), [msgspec.structs.replace(going, metadata=metadata)]) == []
    metadata = msgspec.structs.replace(going.metadata, generation=2)
    assert surplus(limited(0), [msgspec.structs.replace(going, metadata=metadata)]) == []


@pytest.mark.parametrize(
    ("sets", "limit", "expected"),
    [
        (((0, "1"), (0, "2")), 1, {"1"}),
        (((0, "2"), (0, "1")), 1, {"2"}),
        (((0, "1"), (0, "")), 1, {"2"}),
        (((0, ""), (0, "2")), 1, {"1"}),
        (((1, "1"), (0, "2"), (0, "3")), 1, {"2"}),
        (((1, "1"), (1, "2"), (0, "3")), 1, set()),
        (((0, "3"), (0, "1"), (0, "4"), (0, "2")), 2, {"2", "4"}),
    ],
)
def test_cleanup_deployment_order(
    sets: Sequence[tuple[int, str]], limit: int, expected: set[str]
) -> None:
    """(Replicas, revision), from the oldest to the youngest."""
    made = [
        old(str(i), replicas, replicas, age=i, revision=revision)
        for i, (replicas, revision) in enumerate(sets, 1)
    ]
    assert {one.metadata.name for one in surplus(limited(limit), made)} == expected


# --- Recreate ---


def in_phase(*phases: str) -> list[Pod]:
    return [Pod(status=PodStatus(phase=phase)) for phase in phases]


@pytest.mark.parametrize(
    ("there", "pods", "expected"),
    [
        ((), {}, False),
        ((0, 0), {"uid-0": in_phase("", ""), "uid-1": in_phase("", "")}, True),
        ((1,), {}, True),
        ((0,), {}, False),
        ((0,), {"uid-0": in_phase("Failed", "Succeeded")}, False),
        ((0,), {"uid-0": in_phase("Unknown")}, True),
        ((0,), {"uid-0": in_phase("Pending")}, True),
        ((0,), {"uid-0": in_phase("Running")}, True),
        ((0,), {"uid-0": in_phase("Failed"), "uid-2": [], "uid-3": in_phase("Pending")}, True),
        ((0,), {"uid-new": in_phase("Running")}, False),
    ],
)
def test_old_pods_running(there: Sizes, pods: dict[str, list[Pod]], expected: bool) -> None:
    olds = [old(str(i), 0, number) for i, number in enumerate(there)]
    assert old_pods_running(Divided(replica_set("new", 3), olds), pods) is expected
