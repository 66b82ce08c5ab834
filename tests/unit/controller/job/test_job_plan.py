"""How many pods a sync makes or deletes: upstream's TestControllerSyncJob in
job_controller_test.go, with the feature gates as they are in v1.36. All writes succeed."""

from typing import Any

import pytest
from daemonset_world import EPOCH
from job_world import COMPLETE, Want, at, failed_for, job, now, pod, pods, shown, sync

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job.model import BATCH_S, MAX_WRITES, Backoff, NewPod
from kubeherd.controller.workload.jobs import JobStatus, PodFailurePolicy

Spec = dict[str, Any]
INDEXED = {"completion_mode": "Indexed"}
WORK_QUEUE: Spec = {"completions": None}


def terminating(count: int) -> list[Pod]:
    return [pod(f"going-{n}", deleting_s=0) for n in range(count)]


@pytest.mark.parametrize(
    ("parallelism", "spec", "its_pods", "want"),
    [
        (2, {}, {}, Want(creates=2, active=2)),
        (2, WORK_QUEUE, {}, Want(creates=2, active=2)),
        (2, {}, {"Pending": 2}, Want(active=2)),
        (3, {}, {"Running": 1, "Ready": 2}, Want(active=3, ready=2)),
        (2, WORK_QUEUE, {"Running": 2}, Want(active=2)),
        (
            2,
            {},
            {"Running": 1, "Succeeded": 1},
            Want(creates=1, active=2, succeeded=1, patches=1),
        ),
        (2, WORK_QUEUE, {"Running": 1}, Want(creates=1, active=2)),
        (2, {}, {"Running": 3}, Want(deletes=1, active=2, terminating=1, patches=1)),
        (2, {}, {"Ready": 3}, Want(deletes=1, active=2, ready=2, terminating=1, patches=1)),
        (2, {}, {"Running": 10}, Want(deletes=8, active=2, terminating=8, patches=8)),
        (2, {}, {"Succeeded": 5}, Want(succeeded=5, conditions=COMPLETE, patches=5)),
        (
            2,
            WORK_QUEUE,
            {"Running": 1, "Succeeded": 1},
            Want(active=1, succeeded=1, patches=1),
        ),
        (2, WORK_QUEUE, {"Succeeded": 2}, Want(succeeded=2, conditions=COMPLETE, patches=2)),
        (
            2,
            WORK_QUEUE,
            {"Succeeded": 1, "Failed": 1},
            Want(succeeded=1, failed=1, conditions=COMPLETE, patches=2),
        ),
        (
            3,
            {"completions": 4},
            {"Running": 3, "Succeeded": 2},
            Want(deletes=1, active=2, succeeded=2, terminating=1, patches=3),
        ),
        (2, {}, {"Running": 2, "Succeeded": 2}, Want(active=2, succeeded=2, patches=2)),
        (
            2,
            {"deleting": True},
            {"Pending": 1, "Running": 1, "Succeeded": 1},
            Want(active=2, succeeded=1, patches=3),
        ),
        (
            2,
            {"deleting": True, "backoff_limit": 0},
            {"Failed": 1},
            Want(failed=1, conditions=failed_for("BackoffLimitExceeded"), patches=1),
        ),
        (
            2,
            {"backoff_limit": 0, "completions": 3},
            {"Ready": 2, "Failed": 1},
            Want(
                deletes=2,
                failed=3,
                terminating=2,
                conditions=failed_for("BackoffLimitExceeded", ended=False),
                patches=3,
            ),
        ),
        (
            2,
            {"suspend": True, "completions": 4},
            {"Ready": 2},
            Want(deletes=2, terminating=2, conditions=[("Suspended", "JobSuspended")], patches=2),
        ),
        (2, {"suspend": True, "deleting": True}, {"Running": 2}, Want(active=2, patches=2)),
    ],
)
def test_a_sync(parallelism: int, spec: Spec, its_pods: dict[str, int], want: Want) -> None:
    of = job(parallelism=parallelism, **{"completions": 5, **spec})
    assert shown(sync(of, pods(its_pods), now(60))) == want


@pytest.mark.parametrize(
    ("parallelism", "completions", "limit", "its_pods", "want", "created"),
    [
        (2, 5, 6, [], Want(creates=2, active=2), [0, 1]),
        (
            2,
            3,
            6,
            [(0, "Succeeded"), (1, "Failed"), (1, "Succeeded"), (2, "Succeeded")],
            Want(succeeded=3, failed=1, indexes="0-2", conditions=COMPLETE, patches=4),
            [],
        ),
        (
            2,
            3,
            0,
            [(0, "Succeeded"), (1, "Failed"), (2, "Running")],
            Want(
                deletes=1, terminating=1, succeeded=1, failed=2, indexes="0", patches=3,
                conditions=failed_for("BackoffLimitExceeded", ended=False),
            ),
            [],
        ),
        (
            2,
            3,
            6,
            [(0, "Succeeded"), (1, "Succeeded"), (1, "Succeeded")],
            Want(creates=1, active=1, succeeded=2, indexes="0,1", patches=3),
            [2],
        ),
        (
            8,
            20,
            6,
            [
                (0, "Running"), (2, "Succeeded"), (3, "Pending"), (4, "Succeeded"),
                (5, "Succeeded"), (7, "Succeeded"), (8, "Succeeded"), (9, "Succeeded"),
            ],
            Want(creates=6, active=8, succeeded=6, indexes="2,4,5,7-9", patches=6),
            [1, 6, 10, 11, 12, 13],
        ),
        (
            3,
            4,
            6,
            [(0, "Failed"), (1, "Pending"), (2, "Failed")],
            Want(creates=2, active=3, failed=2, patches=2),
            [0, 2],
        ),
        (
            2,
            5,
            6,
            [
                (None, "Running"), (None, "Succeeded"), (None, "Failed"), ("invalid", "Running"),
                ("invalid", "Succeeded"), ("invalid", "Failed"), ("invalid", "Pending"),
                (0, "Succeeded"), (1, "Running"), (2, "Running"),
            ],
            Want(deletes=3, active=2, terminating=3, succeeded=1, indexes="0", patches=8),
            [],
        ),
        (
            5,
            5,
            6,
            [
                (None, "Succeeded"), (None, "Failed"), ("invalid", "Running"), (0, "Succeeded"),
                (1, "Running"), (2, "Running"), (2, "Pending"),
            ],
            Want(deletes=2, active=2, terminating=2, succeeded=1, indexes="0", patches=5),
            [],
        ),
        (
            2,
            5,
            6,
            [(0, "Succeeded"), (5, "Running"), (6, "Succeeded"), (7, "Pending"), (8, "Failed")],
            Want(deletes=2, terminating=2, succeeded=1, indexes="0", patches=5),
            [],
        ),
    ],
)  # fmt: skip
def test_a_sync_of_an_indexed_job(
    parallelism: int,
    completions: int,
    limit: int,
    its_pods: list[tuple[int | str | None, str]],
    want: Want,
    created: list[int],
) -> None:
    of = job(
        parallelism=parallelism,
        completions=completions,
        backoff_limit=limit,
        completion_mode="Indexed",
    )
    named = [pod(f"p{n}", phase, index=index) for n, (index, phase) in enumerate(its_pods)]
    synced = sync(of, named, now(60))
    assert shown(synced) == want
    assert synced.created_indexes == created


@pytest.mark.parametrize(
    ("spec", "going", "others", "want"),
    [
        (
            {"completions": None, "pod_replacement_policy": "Failed"},
            1,
            {"Running": 1, "Failed": 1},
            Want(active=1, failed=1, terminating=1, patches=1),
        ),
        ({}, 1, {"Running": 1, "Failed": 1}, Want(active=1, failed=2, terminating=1, patches=2)),
        (
            {"completions": None, "pod_replacement_policy": "TerminatingOrFailed"},
            1,
            {"Running": 1, "Failed": 1},
            Want(active=1, failed=2, terminating=1, patches=2),
        ),
        (
            {"pod_replacement_policy": "Failed"},
            4,
            {"Running": 2},
            Want(deletes=1, active=1, terminating=5, patches=1),
        ),
        (
            {"pod_failure_policy": PodFailurePolicy()},
            4,
            {"Running": 2},
            Want(deletes=1, active=1, terminating=5, patches=1),
        ),
        (
            {**INDEXED, "parallelism": 2, "completions": 5, "pod_replacement_policy": "Failed"},
            1,
            {},
            Want(creates=1, active=1, terminating=1),
        ),
        (
            {**INDEXED, "parallelism": 2, "completions": 5},
            1,
            {},
            Want(creates=2, active=2, terminating=1, patches=1),
        ),
    ],
)
def test_pods_that_terminate(spec: Spec, going: int, others: dict[str, int], want: Want) -> None:
    synced = sync(job(**{"parallelism": 1, **spec}), terminating(going) + pods(others), now(60))
    assert shown(synced) == want


def test_a_replacement_waits_for_the_back_off_and_the_status_tells_the_truth() -> None:
    of = job(parallelism=2, completions=2)
    its_pods = [pod("a", "Failed", exit_code=1, ended_s=100), pod("b", ready=True)]
    synced = sync(of, its_pods, now(103))
    assert not synced.actions.creates
    assert synced.actions.look_again_s == 7
    assert (synced.status.active, synced.status.ready, synced.status.failed) == (1, 1, 1)
    assert synced.backoff.failures == 1


def test_a_wait_is_never_shorter_than_a_batch() -> None:
    its_pods = [pod("a", "Failed", exit_code=1, ended_s=100)]
    assert sync(job(), its_pods, now(109.5)).actions.look_again_s == BATCH_S


def test_a_replacement_waits_for_failures_counted_before() -> None:
    waiting = sync(job(), [], now(1), backoff=Backoff(1, EPOCH))
    assert not waiting.actions.creates
    assert waiting.actions.look_again_s == 9
    assert sync(job(), [], now(1), backoff=Backoff(0, EPOCH)).actions.creates == [NewPod()]


def test_what_could_not_be_created_is_not_active() -> None:
    synced = sync(job(parallelism=100, completions=200), [], room=10)
    assert synced.status.active == 10


def test_a_sync_creates_so_many_pods_and_no_more() -> None:
    synced = sync(job(parallelism=2000, completions=2000), [])
    assert len(synced.actions.creates) == MAX_WRITES


@pytest.mark.parametrize("kind", ["FailureTarget", "SuccessCriteriaMet"])
def test_a_condition_that_somebody_denied_decides_nothing(kind: str) -> None:
    denied = Condition(type=kind, status="False", reason="ConditionAddedManually")
    of = job(status=JobStatus(active=1, start_time=at(0), conditions=[denied]))
    synced = sync(of, pods({"Ready": 1}))
    assert (synced.status.active, synced.status.conditions) == (1, [denied])
