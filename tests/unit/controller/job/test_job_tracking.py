"""Counting each pod once: the table of TestTrackJobStatusAndRemoveFinalizers, and crashes."""

from typing import Any

import pytest
from job_world import at, job, pod, sync

from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job.model import MAX_UNCOUNTED
from kubeherd.controller.job.tracking import settled
from kubeherd.controller.workload.jobs import Job, JobStatus, UncountedTerminatedPods


def noted(succeeded: str = "", failed: str = "") -> UncountedTerminatedPods:
    """UIDs of one letter each."""
    return UncountedTerminatedPods(succeeded=list(succeeded), failed=list(failed))


def busy(**status: Any) -> JobStatus:
    """Of a Job that wants no other pods than it has."""
    return JobStatus(start_time=at(0), **status)


def idle(status: JobStatus, **spec: Any) -> Job:
    wanted: dict[str, Any] = {"parallelism": 0, "completions": 100, "backoff_limit": 50, **spec}
    return job("job", status=status, **wanted)


@pytest.mark.parametrize(
    ("status", "its_pods", "notes", "counts", "untracked"),
    [
        (
            busy(),
            [
                pod("a", "Succeeded"), pod("b", "Failed"), pod("c", "Succeeded", deleting_s=0),
                pod("d", "Failed", deleting_s=0), pod("e", "Pending", deleting_s=0),
            ],
            noted("ac", "bde"),
            [(0, 0), (2, 3)],
            "abcde",
        ),
        (
            busy(succeeded=2, failed=3, uncounted_terminated_pods=noted("ae", "bf")),
            [
                pod("e", "Succeeded", tracked=False), pod("x", "Failed", tracked=False),
                pod("a", "Succeeded"), pod("b", "Failed"), pod("c", "Succeeded"),
                pod("d", "Failed"),
            ],
            noted("ac", "bd"),
            [(3, 4), (5, 6)],
            "abcd",
        ),
        (
            busy(uncounted_terminated_pods=noted("", "ab")),
            [pod("a", "Failed"), pod("b", "Succeeded")],
            noted("", "ab"),
            [(0, 0), (0, 2)],
            "ab",
        ),
    ],
)  # fmt: skip
def test_pods_are_noted_then_counted(
    status: JobStatus,
    its_pods: list[Pod],
    notes: UncountedTerminatedPods,
    counts: list[tuple[int, int]],
    untracked: str,
) -> None:
    synced = sync(idle(status), its_pods)
    assert synced.writes[0].uncounted_terminated_pods == notes
    assert [(write.succeeded, write.failed) for write in synced.writes] == counts
    assert "".join(synced.untracked) == untracked
    assert synced.status.uncounted_terminated_pods == noted()


def test_a_deleted_job_lets_its_pods_go_and_counts_those_that_ended() -> None:
    its_pods = [pod("a", "Succeeded"), pod("b", "Failed"), pod("c")]
    synced = sync(job(deleting=True, completions=9), its_pods)
    assert synced.untracked == ["a", "b", "c"]
    assert (synced.status.succeeded, synced.status.failed) == (1, 1)


def test_completed_indexes_out_of_range_are_forgotten() -> None:
    status = busy(succeeded=1, completed_indexes="3", active=2)
    of = job(completions=2, parallelism=2, completion_mode="Indexed", status=status)
    synced = sync(of, [pod("a", index=0), pod("b", index=1)])
    assert (synced.status.succeeded, synced.status.completed_indexes) == (0, "")
    synced = sync(of, [pod("a", index=0), pod("b", "Succeeded", index=1)])
    assert (synced.status.succeeded, synced.status.completed_indexes) == (1, "1")
    assert synced.untracked == ["b"]


def test_an_index_is_counted_once() -> None:
    status = busy(failed=2, succeeded=5, completed_indexes="0-2,4,6,7")
    of = idle(status, completions=7, completion_mode="Indexed")
    its_pods = [
        pod("w", "Succeeded", index=0, tracked=False), pod("x", "Failed", index=1, tracked=False),
        pod("y", "Succeeded", index=1), pod("z", "Succeeded", index=3),
        pod("a", "Failed", index=2), pod("b", "Failed", index=5),
    ]  # fmt: skip
    first, second = sync(of, its_pods).writes
    assert (first.succeeded, first.failed, first.completed_indexes) == (6, 2, "0-4,6")
    assert first.uncounted_terminated_pods == noted("", "ab")
    assert (second.succeeded, second.failed, second.uncounted_terminated_pods) == (6, 4, noted())


def test_one_sync_notes_so_many_pods_and_the_next_the_others() -> None:
    of = idle(busy(uncounted_terminated_pods=noted("", "ab")), completions=1000)
    its_pods = [pod(str(n), "Succeeded") for n in range(500)] + [pod("b", "Failed")]
    first = sync(of, its_pods)
    noted_first = first.writes[0].uncounted_terminated_pods
    assert noted_first is not None
    assert len(noted_first.succeeded) + len(noted_first.failed) == MAX_UNCOUNTED
    left = [each for each in its_pods if each.metadata.uid not in first.untracked]
    second = sync(idle(first.status, completions=1000), left)
    assert (second.status.succeeded, second.status.failed) == (500, 2)


def test_a_job_does_not_end_before_all_are_counted() -> None:
    of = job(parallelism=1, completions=600)
    its_pods = [pod(str(n), "Succeeded") for n in range(600)]
    first = sync(of, its_pods)
    assert first.conditions == [("SuccessCriteriaMet", "CompletionsReached")]
    left = [each for each in its_pods if each.metadata.uid not in first.untracked]
    assert left
    second = sync(job(completions=600, status=first.status), left)
    assert second.conditions[-1] == ("Complete", "CompletionsReached")
    assert second.status.succeeded == 600


@pytest.mark.parametrize("kind", ["FailureTarget", "SuccessCriteriaMet"])
def test_the_end_waits_for_pods_that_terminate(kind: str) -> None:
    interim = Condition(type=kind, status="True", reason="R")
    status = busy(conditions=[interim], uncounted_terminated_pods=noted("b", "a"))
    synced = sync(job(status=status), [pod("a", deleting_s=0, tracked=False)])
    assert (synced.status.succeeded, synced.status.failed) == (1, 1)
    assert synced.status.conditions == [interim]
    assert len(sync(job(status=status), []).status.conditions) == 2


def test_a_pod_that_waits_for_its_replacement_is_not_counted() -> None:
    of = idle(busy(), completions=6, completion_mode="Indexed", backoff_limit_per_index=1)
    waiting = pod("a1", "Failed", index=1, failures=0)
    assert sync(of, [waiting]).untracked == []
    replaced = sync(of, [waiting, pod("a2", index=1, failures=1)])
    assert (replaced.untracked, replaced.status.failed) == (["a1"], 1)


def test_a_crash_after_the_finalizers_went_loses_nothing() -> None:
    """The status that notes the pods was written, their finalizers are gone, the counters are not
    written: the UIDs that are noted and that no pod with a finalizer has are counted."""
    first = sync(idle(busy()), [pod("a", "Succeeded"), pod("b", "Failed")])
    noted_status = first.writes[0]
    second = sync(idle(noted_status), [pod("a", "Succeeded", tracked=False)])
    assert (second.status.succeeded, second.status.failed) == (1, 1)


def test_a_crash_before_the_finalizers_went_counts_nothing_twice() -> None:
    its_pods = [pod("a", "Succeeded"), pod("b", "Failed")]
    first = sync(idle(busy()), its_pods)
    second = sync(idle(first.writes[0]), its_pods)
    assert (second.status.succeeded, second.status.failed) == (1, 1)
    assert second.writes[0].uncounted_terminated_pods == noted()


def test_only_noted_pods_without_a_finalizer_are_counted() -> None:
    status = busy(uncounted_terminated_pods=noted("ab", "cd"))
    after = settled(status, frozenset("bd"))
    assert (after.succeeded, after.failed) == (1, 1)
    assert after.uncounted_terminated_pods == noted("b", "d")
