"""The status of a ReplicaSet: the tables of upstream's replica_set_utils_test.go."""

import pytest
from replicaset_world import ages, at, pod, replicaset

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.replicaset.model import Failure, FailureReason, Numbers
from kubeherd.controller.replicaset.status import changed, count
from kubeherd.controller.workload.apps import ReplicaSet, ReplicaSetStatus

FULL = {"name": "foo", "type": "production"}
PART = {"name": "foo"}
HOUR_S = 3600
OTHER = Condition(type="ImagePullBackOff", status="True", reason="NonExistentImage")
FAILED = Condition(type="ReplicaFailure", status="True", reason="OtherFailure")


def ready(name: str, labels: dict[str, str], *, since_s: float = 0) -> Pod:
    return pod(name, labels=labels, ready=True, ready_at_s=since_s)


@pytest.mark.parametrize(
    ("pods", "min_ready_s", "expected"),
    [
        ([ready("a", FULL)], 0, Numbers(1, 1, 1, 1)),
        ([ready("a", PART)], 0, Numbers(1, 0, 1, 1)),
        ([ready("a", FULL), ready("b", FULL)], 0, Numbers(2, 2, 2, 2)),
        ([ready("a", PART), ready("b", PART)], 0, Numbers(2, 0, 2, 2)),
        ([ready("a", PART), ready("b", FULL)], 0, Numbers(2, 1, 2, 2)),
        ([ready("a", {**FULL, "more": "labels"})], 0, Numbers(1, 1, 1, 1)),
        ([pod("a", phase="Pending", labels=FULL)], 0, Numbers(1, 1, 0, 0)),
        ([ready("a", FULL)], HOUR_S, Numbers(1, 1, 1, 0)),
        ([ready("a", FULL, since_s=-HOUR_S)], HOUR_S, Numbers(1, 1, 1, 1)),
        ([ready("a", FULL, since_s=-2 * HOUR_S)], HOUR_S, Numbers(1, 1, 1, 1)),
        ([], 0, Numbers()),
    ],
)
def test_counters(pods: list[Pod], min_ready_s: int, expected: Numbers) -> None:
    rs = replicaset(template_labels=FULL, min_ready_s=min_ready_s)
    assert count(rs, pods, None, ages(0)).numbers == expected


def test_a_template_without_labels_labels_every_pod_fully() -> None:
    rs = replicaset(template_labels={})
    assert count(rs, [ready("a", PART)], None, ages(0)).numbers.fully_labeled == 1


@pytest.mark.parametrize("terminating", [None, 0, 2])
def test_terminating_replicas_are_counted_if_the_kind_has_them(terminating: int | None) -> None:
    numbers = count(replicaset(), [], terminating, ages(0)).numbers
    tree = changed(replicaset(), numbers, None, at(0))
    assert tree is not None
    assert tree.get("terminatingReplicas") == terminating


@pytest.mark.parametrize(
    ("since_s", "min_ready_s", "wait_s"),
    [
        ([], 5, None),
        ([0, -2, -4], 5, 1.0),
        ([0, -2, -4], 0, None),
        ([-6, -7], 5, None),
        ([None], 5, 5.0),
        ([None, -3], 5, 2.0),
    ],
)
def test_when_time_alone_makes_a_pod_available(
    since_s: list[float | None], min_ready_s: int, wait_s: float | None
) -> None:
    pods = [pod(f"p{n}", ready=True, ready_at_s=since) for n, since in enumerate(since_s)]
    pods.append(pod("not ready"))
    found = count(replicaset(min_ready_s=min_ready_s), pods, 0, ages(0)).requeue_after_s
    assert found == wait_s


def test_availability_and_the_next_look_are_of_one_moment() -> None:
    """No pod may be too young for the count, and at the next reading of the clock too old for a
    next look: with no event to come, it would be counted never."""
    reading_s = iter([4.999, 5.001, 5.002])
    rs = replicaset(1, min_ready_s=5)
    found = count(rs, [pod("p", ready=True)], 0, lambda _: next(reading_s))
    assert found.numbers.available == 0
    assert found.requeue_after_s == pytest.approx(0.001)


def failing(reason: FailureReason = FailureReason.CREATE) -> Failure:
    return Failure(reason, "it broke")


def having(*conditions: Condition) -> ReplicaSet:
    return replicaset(status=ReplicaSetStatus(observed_generation=1, conditions=list(conditions)))


@pytest.mark.parametrize(
    ("before", "failure", "after"),
    [
        ([], failing(), [("ReplicaFailure", "FailedCreate")]),
        ([], failing(FailureReason.DELETE), [("ReplicaFailure", "FailedDelete")]),
        ([FAILED], None, []),
        ([FAILED], failing(), [("ReplicaFailure", "OtherFailure")]),
        ([], None, []),
        (
            [OTHER],
            failing(),
            [("ImagePullBackOff", "NonExistentImage"), ("ReplicaFailure", "FailedCreate")],
        ),
        ([FAILED, OTHER], None, [("ImagePullBackOff", "NonExistentImage")]),
    ],
)
def test_conditions(
    before: list[Condition], failure: Failure | None, after: list[tuple[str, str]]
) -> None:
    tree = changed(having(*before), Numbers(1), failure, at(7))
    assert tree is not None
    conditions = tree.get("conditions", [])
    assert [(each["type"], each["reason"]) for each in conditions] == after


def test_a_new_condition_as_it_is_written() -> None:
    tree = changed(having(), Numbers(), failing(), at(7))
    assert tree is not None
    assert tree["conditions"] == [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": "it broke",
            "lastTransitionTime": at(7),
        }
    ]


def test_nothing_is_written_when_the_status_says_the_same() -> None:
    status = ReplicaSetStatus(
        replicas=2,
        fully_labeled_replicas=2,
        ready_replicas=1,
        available_replicas=1,
        terminating_replicas=0,
        observed_generation=3,
        conditions=[FAILED],
    )
    same = Numbers(2, 2, 1, 1, 0)
    rs = replicaset(generation=3, status=status)
    assert changed(rs, same, failing(), at(9)) is None
    assert changed(replicaset(generation=4, status=status), same, failing(), at(9)) is not None
    for other in (
        Numbers(3, 2, 1, 1, 0),
        Numbers(2, 1, 1, 1, 0),
        Numbers(2, 2, 2, 1, 0),
        Numbers(2, 2, 1, 0, 0),
        Numbers(2, 2, 1, 1, 1),
        Numbers(2, 2, 1, 1, None),
    ):
        assert changed(rs, other, failing(), at(9)) is not None


def test_zeros_are_left_out_as_kubernetes_does_all_but_the_first() -> None:
    assert changed(replicaset(), Numbers(terminating=0), None, at(0)) == {
        "replicas": 0,
        "terminatingReplicas": 0,
        "observedGeneration": 1,
    }
