"""Which pods count, and when a pod is available: upstream's controller_utils_test.go."""

import pytest
from replicaset_world import ages, pod

from kubeherd.controller.workload.pods.activepods import (
    active_pods,
    terminating_pods,
    until_available_s,
)

PODS = [
    pod("succeeded", phase="Succeeded"),
    pod("failed", phase="Failed"),
    pod("unknown", phase="Unknown"),
    pod("pending", phase="Pending"),
    pod("running"),
    pod("failed and deleted", phase="Failed", deleting=True),
    pod("pending and deleted", phase="Pending", deleting=True),
    pod("running and deleted", deleting=True),
]


def test_active_pods_have_neither_ended_nor_are_they_deleted() -> None:
    names = [each.metadata.name for each in active_pods(PODS)]
    assert names == ["unknown", "pending", "running"]


def test_terminating_pods_are_deleted_and_have_not_ended() -> None:
    names = [each.metadata.name for each in terminating_pods(PODS)]
    assert names == ["pending and deleted", "running and deleted"]


@pytest.mark.parametrize(
    ("ready", "since_s", "min_ready_s", "wait_s"),
    [
        (False, 0, 0, None),
        (True, 0, 0, 0.0),
        (True, None, 0, 0.0),
        (True, None, 1, None),
        (True, 0, 1, 1.0),
        (True, -20, 30, 10.0),
        (True, -51, 50, 0.0),
        (True, -50, 50, 0.0),
    ],
)
def test_until_a_pod_is_available(
    ready: bool, since_s: float | None, min_ready_s: int, wait_s: float | None
) -> None:
    found = pod("p", ready=ready, ready_at_s=since_s)
    assert until_available_s(found, min_ready_s, ages(0)) == wait_s
