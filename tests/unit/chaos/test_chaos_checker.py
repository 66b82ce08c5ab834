"""The checker of the chaos experiment: silent on a good state, loud on every bad one."""

import dataclasses

import msgspec
import pytest

from kubeherd.chaos.checker import Seen, problems
from kubeherd.cluster.api.objects import (
    Condition,
    DaemonSet,
    DaemonSetStatus,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)


def pod(node: str, *, hash_: str = "new", ready: str = "True", deleted: str | None = None) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=f"pod-{node}",
            labels={"controller-revision-hash": hash_},
            deletion_timestamp=deleted,
            owner_references=[OwnerReference(name="herd", controller=True)],
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(conditions=[Condition(type="Ready", status=ready)]),
    )


GOOD = Seen(
    nodes=frozenset({"a", "b"}),
    pods=(pod("a"), pod("b")),
    newest_hash="new",
    daemonset=DaemonSet(
        metadata=ObjectMeta(generation=3),
        status=DaemonSetStatus(
            observed_generation=3,
            desired_number_scheduled=2,
            current_number_scheduled=2,
            updated_number_scheduled=2,
            number_ready=2,
            number_available=2,
        ),
    ),
)


def with_status(**fields: int) -> DaemonSet:
    status = msgspec.structs.replace(GOOD.daemonset.status, **fields)
    return msgspec.structs.replace(GOOD.daemonset, status=status)


def test_a_good_state_has_no_problems():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pods": (pod("a"),)}, "b: no pod"),
        ({"pods": (pod("a"), pod("b"), pod("b"))}, "b: 2 pods"),
        ({"pods": (pod("a"), pod("b"), pod("c"))}, "c: pod-c, but there is no such node"),
        ({"pods": (pod("a"), pod("b"), pod(""))}, "no node: pod-, but there is no such node"),
        ({"pods": (pod("a"), pod("b", ready="False"))}, "b: pod-b is not ready"),
        ({"pods": (pod("a"), pod("b", hash_="old"))}, "b: pod-b is of an old revision"),
        ({"pods": (pod("a"), pod("b", deleted="2026-01-01T00:00:00Z"))}, "b: pod-b is being del"),
        ({"daemonset": with_status(number_ready=1)}, "status.numberReady is 1, not 2"),
        ({"daemonset": with_status(observed_generation=2)}, "status is of generation 2, not 3"),
    ],
)
def test_each_broken_rule_is_a_problem(change: dict, problem: str):
    found = problems(dataclasses.replace(GOOD, **change))
    assert any(line.startswith(problem) for line in found), found
