"""Which index comes next, which pod has to go: the tables of indexed_job_utils_test.go."""

from typing import Any

import pytest
from job_world import job, pod, typed

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job import indexes, intervals
from kubeherd.controller.job.intervals import Intervals
from kubeherd.controller.job.model import NO_INDEX, Assessment, NewPod
from kubeherd.controller.job.pods import see
from kubeherd.controller.workload.jobs import Job, JobStatus, PodFailurePolicy

FAIL_3 = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}}
IGNORE = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}
DISRUPTED = Condition(type="DisruptionTarget", status="True")


def indexed(completions: int = 2, limit: int | None = 0, **spec: Any) -> Job:
    return job(
        completion_mode="Indexed", completions=completions, backoff_limit_per_index=limit, **spec
    )


def phased(*pods: tuple[int | str | None, str]) -> list[Pod]:
    return [pod(f"p{n}", phase, index=index) for n, (index, phase) in enumerate(pods)]


@pytest.mark.parametrize(
    ("limit", "policy", "failed_pod", "expected"),
    [
        (0, None, pod(phase="Failed", index=0, failures=0), True),
        (1, None, pod(phase="Failed", index=1, failures=1), True),
        (1, None, pod(phase="Failed", index=1, failures=0), False),
        (1, {"rules": [FAIL_3]}, pod(phase="Failed", index=0, failures=0, exit_code=3), True),
        (1, {"rules": [FAIL_3]}, pod(phase="Failed", index=0, failures=0, exit_code=2), False),
        (0, None, pod(phase="Running", index=0, failures=0), False),
    ],
)
def test_when_an_index_has_failed(
    limit: int, policy: dict[str, object] | None, failed_pod: Pod, expected: bool
) -> None:
    compiled = policy and typed(PodFailurePolicy, policy)
    of = indexed(limit=limit, pod_failure_policy=compiled)
    assert indexes.index_failed(of, see(of, [failed_pod])[0]) is expected


@pytest.mark.parametrize(
    ("its_pods", "expected"),
    [
        ([pod("a", "Failed", index=0, failures=0), pod("b", "Failed", index=1, failures=1)], "1"),
        ([pod("a", "Failed", index=0, failures=1, tracked=False)], ""),
        ([pod("a", "Failed", index=3, failures=1)], ""),
    ],
)
def test_failed_indexes(its_pods: list[Pod], expected: str) -> None:
    of = indexed(limit=1)
    assert intervals.text(indexes.newly_failed(of, see(of, its_pods))) == expected


@pytest.mark.parametrize(
    ("completions", "limit", "its_pods", "expected"),
    [
        (
            3,
            1,
            [
                pod("a", "Failed", index=0, failures=0),
                pod("b", "Failed", index=1, failures=1),
                pod("c", "Failed", index=2, failures=0),
            ],
            ["a", "c"],
        ),
        (2, 0, [pod("a", "Failed", index=0, failures=0, tracked=False)], []),
        (2, 0, [pod("a", "Failed", index=4, failures=0)], []),
        (
            2,
            1,
            [
                pod("a1", "Failed", index=0, failures=0),
                pod("a2", "Running", index=0, failures=1),
            ],
            [],
        ),
        (
            2,
            1,
            [
                pod("a1", "Failed", index=0, failures=0),
                pod("a2", "Succeeded", index=0, failures=1),
            ],
            [],
        ),
        (
            2,
            4,
            [
                pod("a1", "Failed", index=0, failures=0),
                pod("a3", "Failed", index=0, failures=2),
                pod("a2", "Failed", index=0, failures=1),
            ],
            ["a3"],
        ),
        (
            2,
            4,
            [
                pod("a1", "Failed", index=0, failures=1, deleting_s=9),
                pod("a3", "Failed", index=0, failures=1, deleting_s=10),
                pod("a2", "Failed", index=0, failures=1, deleting_s=8),
            ],
            ["a3"],
        ),
    ],
)
def test_the_last_failed_pod_of_an_index_waits_for_its_replacement(
    completions: int, limit: int, its_pods: list[Pod], expected: list[str]
) -> None:
    of = indexed(completions, limit)
    seen = see(of, its_pods)
    settled = intervals.merged(indexes.newly_completed(of, seen), indexes.newly_failed(of, seen))
    active = [each for each in seen if each.active]
    waiting = indexes.awaiting_replacement(of, seen, settled, active)
    assert sorted(each.metadata.name for each in waiting.values()) == expected


@pytest.mark.parametrize(
    ("policy", "replaced", "expected"),
    [
        (None, None, (0, 0)),
        (None, pod(phase="Failed", index=0, failures=0), (1, 0)),
        (None, pod(phase="Failed", index=0, failures=3), (4, 0)),
        (
            {"rules": [IGNORE]},
            pod(phase="Failed", index=3, failures=3, conditions=[DISRUPTED]),
            (3, 1),
        ),
    ],
)
def test_a_replacement_inherits_the_failures(
    policy: dict[str, object] | None, replaced: Pod | None, expected: tuple[int, int]
) -> None:
    of = indexed(limit=1, pod_failure_policy=policy and typed(PodFailurePolicy, policy))
    failed, ignored = expected
    assert indexes.replacement(of, 3, replaced) == NewPod(3, failed, ignored)


def test_without_a_limit_by_index_failures_are_not_inherited() -> None:
    assert indexes.replacement(indexed(limit=None), 3, pod(phase="Failed")) == NewPod(3)


def standing(
    of: Job, its_pods: list[Pod], completed: Intervals = (), failed: Intervals = ()
) -> Assessment:
    seen = see(of, its_pods)
    return Assessment(
        job=of, stored=JobStatus(), pods=seen, active=[each for each in seen if each.active],
        ready=0, terminating=0, succeeded=0, failed=0, completed=completed, failed_indexes=failed,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("count", "completions", "active", "completed", "failed", "expected"),
    [
        (5, 3, [], "", "", [0, 1, 2]),
        (2, 5, [], "", "", [0, 1]),
        (3, 10, [(0, "Running"), (1, "Pending")], "", "", [2, 3, 4]),
        (6, 6, [(6, "Pending")], "4,5", "", [0, 1, 2, 3]),
        (
            5,
            20,
            [(3, "Pending"), (5, "Running"), (8, "Pending"), (None, "Running"), (-3, "Running")],
            "2-4,9",
            "",
            [0, 1, 6, 7, 10],
        ),
        (5, 20, [(3, "Pending"), (9, "Pending")], "1,5,9", "2,6,7", [0, 4, 8, 10, 11]),
    ],
)
def test_the_lowest_pending_indexes_come_first(
    count: int,
    completions: int,
    active: list[tuple[int | None, str]],
    completed: str,
    failed: str,
    expected: list[int],
) -> None:
    of = indexed(completions, None)
    found = standing(
        of, phased(*active), intervals.parse(completed, 100), intervals.parse(failed, 100)
    )
    assert indexes.first_pending(found, count) == expected


def test_an_index_whose_pod_terminates_is_pending_unless_only_failed_ones_are_replaced() -> None:
    going = [pod("a", "Running", index=0, deleting_s=0)]
    assert indexes.first_pending(standing(indexed(2, None), going), 1) == [0]
    of = indexed(2, None, pod_replacement_policy="Failed")
    assert indexes.first_pending(standing(of, going), 1) == [1]


@pytest.mark.parametrize(
    ("its_pods", "gone", "left"),
    [
        (
            [(None, "Pending"), (2, "Pending"), (5, "Running"), (6, "Running")],
            [(None, "Pending"), (6, "Running")],
            [(2, "Pending"), (5, "Running")],
        ),
        (
            [
                (5, "Pending"), (0, "Running"), (3, "Pending"), (0, "Running"), (3, "Running"),
                (0, "Pending"), (6, "Running"), (6, "Pending"),
            ],
            [(0, "Pending"), (0, "Running"), (3, "Pending"), (6, "Running"), (6, "Pending")],
            [(0, "Running"), (3, "Running"), (5, "Pending")],
        ),
        (
            [
                (None, "Pending"), ("invalid", "Running"), (-2, "Running"), (0, "Pending"),
                (1, "Pending"), (1, "Pending"), (1, "Running"),
            ],
            [
                (None, "Pending"), ("invalid", "Running"), (-2, "Running"), (1, "Pending"),
                (1, "Pending"),
            ],
            [(0, "Pending"), (1, "Running")],
        ),
    ],
)  # fmt: skip
def test_of_each_index_one_pod_stays(
    its_pods: list[tuple[int | str | None, str]],
    gone: list[tuple[int | str | None, str]],
    left: list[tuple[int | str | None, str]],
) -> None:
    of = indexed(6, None)
    seen = [each for each in see(of, phased(*its_pods)) if each.active]
    for found, expected in zip(indexes.surplus(of, seen), (gone, left), strict=True):
        annotation = "batch.kubernetes.io/job-completion-index"
        shown = [(p.metadata.annotations.get(annotation), p.status.phase) for p in found]
        assert shown == [(None if i is None else str(i), phase) for i, phase in expected]


def test_a_job_without_indexes_does_not_look_at_annotations() -> None:
    assert see(job(), [pod(index=3)])[0].index == NO_INDEX
