"""What one sync does: upstream's replica_set_test.go as far as it is about decisions."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from daemonset_world import NS
from replicaset_world import UID, ages, controlled_by, pod, replicaset

from kubeherd.cluster.api.labels import from_selector
from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.controller.replicaset.kinds import as_replicaset
from kubeherd.controller.replicaset.model import Observed, Plan
from kubeherd.controller.replicaset.plan import plan, recount
from kubeherd.controller.workload.apps import (
    ReplicaSet,
    ReplicaSetStatus,
    ReplicationController,
    ReplicationControllerSpec,
)


def planned(
    rs: ReplicaSet, pods: list[Pod], related: list[Pod] | None = None, now_s: float = 0
) -> Plan:
    observed = Observed(rs, pods, lambda: pods if related is None else related)
    return plan(observed, from_selector(rs.spec.selector), ages(now_s))


def named(pods: Iterable[Pod]) -> list[str]:
    return [each.metadata.name for each in pods]


def some(count: int, **fields: Any) -> list[Pod]:
    return [pod(f"p{number}", node="n", **fields) for number in range(count)]


def test_nothing_is_done_when_the_number_is_right() -> None:
    assert not planned(replicaset(2), some(2)).writes


@pytest.mark.parametrize(
    ("replicas", "there", "create", "delete"),
    [(2, 0, 2, 0), (2, 1, 1, 0), (None, 0, 1, 0), (0, 3, 0, 3), (2, 5, 0, 3), (0, 0, 0, 0)],
)
def test_what_is_missing_is_created_and_what_is_too_much_deleted(
    replicas: int | None, there: int, create: int, delete: int
) -> None:
    chosen = planned(replicaset(replicas), some(there))
    assert (chosen.create, len(chosen.delete)) == (create, delete)


def test_a_sync_creates_or_deletes_500_pods_at_most() -> None:
    assert planned(replicaset(1200), some(100)).create == 500
    assert len(planned(replicaset(0), some(700)).delete) == 500


def test_pods_that_ended_or_are_deleted_are_replaced_and_left_alone() -> None:
    ended = [pod("f", phase="Failed"), pod("s", phase="Succeeded"), pod("d", deleting=True)]
    chosen = planned(replicaset(2), [*some(1), *ended])
    assert (chosen.create, chosen.delete) == (1, [])


def test_an_orphan_is_adopted_and_counts() -> None:
    orphan = pod("orphan", owner=None)
    chosen = planned(replicaset(2), [*some(1), orphan])
    assert chosen.adopt == [orphan]
    assert chosen.create == 0
    assert chosen.count.numbers.replicas == 2


def test_a_pod_whose_labels_no_longer_match_is_released_and_replaced() -> None:
    stray = pod("stray", labels={"other": "x"})
    chosen = planned(replicaset(2), [*some(1), stray])
    assert chosen.release == [stray]
    assert chosen.create == 1


def test_a_pod_of_another_controller_is_not_touched() -> None:
    theirs = pod("theirs", owner=controlled_by("other"))
    chosen = planned(replicaset(2), [theirs])
    assert (chosen.create, list(chosen.adopt), list(chosen.release)) == (2, [], [])


def test_a_replicaset_that_is_being_deleted_only_counts() -> None:
    rs = replicaset(2, deleting=True)
    pods = [*some(1), pod("orphan", owner=None), pod("stray", labels={})]
    chosen = planned(rs, pods)
    assert not chosen.writes
    assert chosen.count.numbers.replicas == 1
    assert not planned(replicaset(0, deleting=True), some(3)).writes


def test_terminating_pods_are_counted_if_they_are_owned_and_match() -> None:
    pods = [
        pod("mine", deleting=True),
        pod("ended", deleting=True, phase="Failed"),
        pod("orphan", deleting=True, owner=None),
        pod("theirs", deleting=True, owner=controlled_by("other")),
        pod("stray", deleting=True, labels={}),
    ]
    assert planned(replicaset(0), pods).count.numbers.terminating == 1
    rs = replicaset(0)
    without = Observed(rs, pods, terminating=False)
    assert recount(without, from_selector(rs.spec.selector), ages(0)).numbers.terminating is None


UNSCHEDULED = pod("unscheduled", phase="Pending")
PENDING = pod("pending", phase="Pending", node="n")
NOT_READY = pod("not ready", node="n")
ON_1 = pod("on 1", node="n1", ready=True, ready_at_s=None)
ON_2 = pod("on 2", node="n2", ready=True, ready_at_s=None)


@pytest.mark.parametrize(
    ("pods", "related", "surplus", "expected"),
    [
        ([], None, 0, []),
        ([NOT_READY, ON_1], None, 2, [NOT_READY, ON_1]),
        ([ON_1, NOT_READY], None, 1, [NOT_READY]),
        (
            [ON_1, ON_1, ON_2, NOT_READY, PENDING, UNSCHEDULED],
            None,
            6,
            [ON_1, ON_1, ON_2, NOT_READY, PENDING, UNSCHEDULED],
        ),
        ([ON_1, ON_2, NOT_READY, PENDING], [], 4, [ON_1, ON_2, NOT_READY, PENDING]),
        ([PENDING, UNSCHEDULED], None, 1, [UNSCHEDULED]),
        ([ON_1, NOT_READY, NOT_READY], None, 2, [NOT_READY, NOT_READY]),
        ([ON_1, ON_2], [ON_1, ON_2, ON_2], 1, [ON_2]),
        ([PENDING, NOT_READY], None, 1, [PENDING]),
        ([ON_1, ON_2, NOT_READY, PENDING, UNSCHEDULED], None, 3, [UNSCHEDULED, PENDING, NOT_READY]),
    ],
)
def test_pods_to_delete(
    pods: list[Pod], related: list[Pod] | None, surplus: int, expected: list[Pod]
) -> None:
    chosen = planned(replicaset(len(pods) - surplus), pods, related)
    assert named(chosen.delete) == named(expected)


def test_related_pods_are_asked_for_only_when_there_is_a_choice() -> None:
    def never() -> list[Pod]:
        raise AssertionError("asked")

    for replicas, there in ((2, 2), (3, 2), (0, 2)):
        rs = replicaset(replicas)
        plan(Observed(rs, some(there), never), from_selector(rs.spec.selector), ages(0))


def test_the_next_look_is_when_the_next_pod_becomes_available() -> None:
    pods = [pod(f"p{s}", ready=True, ready_at_s=s) for s in (0, 1, 2)]
    chosen = planned(replicaset(3, min_ready_s=5), pods, now_s=3)
    assert chosen.count.requeue_after_s == 2
    assert planned(replicaset(3, min_ready_s=5), pods, now_s=7).count.requeue_after_s is None


def test_a_replicationcontroller_is_a_replicaset_with_a_simple_selector() -> None:
    metadata = ObjectMeta(name="rs", namespace=NS, uid=UID)
    status = ReplicaSetStatus(replicas=3)
    template = {"metadata": {"labels": {"a": "b"}}}
    spec = ReplicationControllerSpec(
        replicas=2, min_ready_seconds=7, selector={"a": "b"}, template=template
    )
    rs = as_replicaset(ReplicationController(metadata=metadata, spec=spec, status=status))
    assert (rs.metadata, rs.status) == (metadata, status)
    assert (rs.spec.replicas, rs.spec.min_ready_seconds) == (2, 7)
    assert rs.spec.template == template
    assert rs.spec.selector is not None
    assert rs.spec.selector.match_labels == {"a": "b"}
    bare = as_replicaset(
        ReplicationController(metadata=metadata, spec=msgspec.structs.replace(spec, selector={}))
    )
    assert not from_selector(bare.spec.selector).matches({})
