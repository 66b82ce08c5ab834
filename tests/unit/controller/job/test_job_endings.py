"""When a Job is suspended, fails or succeeds: upstream's TestSyncJobPastDeadline,
TestSyncJobWithJobBackoffLimitPerIndex, TestSyncJobWithJobPodFailurePolicy,
TestSyncJobWithJobSuccessPolicy and TestJobBackoffForOnFailure. All writes succeed."""

from typing import Any

import pytest
from job_world import COMPLETE, Want, at, failed_for, job, now, pod, pods, shown, sync, typed

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job.assess import assess
from kubeherd.controller.job.model import NewPod, Observed
from kubeherd.controller.workload.jobs import (
    JobStatus,
    PodFailurePolicy,
    SuccessPolicy,
    UncountedTerminatedPods,
)

Spec = dict[str, Any]


@pytest.mark.parametrize(
    ("spec", "start_s", "its_pods", "want"),
    [
        (
            {"active_deadline_seconds": 10},
            15,
            {"Running": 1},
            Want(
                deletes=1, failed=1, terminating=1, patches=1,
                conditions=failed_for("DeadlineExceeded", ended=False),
            ),
        ),
        (
            {"active_deadline_seconds": 10, "completions": 2},
            15,
            {"Running": 1, "Succeeded": 1},
            Want(
                deletes=1, succeeded=1, failed=1, terminating=1, patches=2,
                conditions=failed_for("DeadlineExceeded", ended=False),
            ),
        ),
        (
            {"active_deadline_seconds": 10},
            10,
            {},
            Want(conditions=failed_for("DeadlineExceeded")),
        ),
        (
            {"active_deadline_seconds": 1, "backoff_limit": 0},
            10,
            {"Failed": 1},
            Want(failed=1, patches=1, conditions=failed_for("BackoffLimitExceeded")),
        ),
        (
            {"active_deadline_seconds": 10, "suspend": True},
            15,
            {},
            Want(conditions=[("Suspended", "JobSuspended")]),
        ),
    ],
)  # fmt: skip
def test_past_the_deadline(
    spec: Spec, start_s: float, its_pods: dict[str, int], want: Want
) -> None:
    of = job(parallelism=1, status=JobStatus(start_time=at(0)), **spec)
    assert shown(sync(of, pods(its_pods), now(start_s))) == want


def test_the_next_look_is_at_the_deadline() -> None:
    of = job(active_deadline_seconds=10, status=JobStatus(start_time=at(0)))
    assert sync(of, pods({"Running": 1}), now(4)).actions.look_again_s == 6
    fresh = job(active_deadline_seconds=10)
    assert sync(fresh, pods({"Running": 1}), now(4)).actions.look_again_s == 10


def test_the_deadline_counts_from_when_the_job_really_started() -> None:
    of = job(active_deadline_seconds=10, status=JobStatus(start_time=at(0)))
    standing = assess(Observed(of, [], started_ago_s=2.5), now(400))
    assert (standing.ending, standing.look_again_s) == (None, 7.5)


def test_a_suspended_job_without_work_is_complete_and_never_started() -> None:
    synced = sync(job(completions=0, suspend=True), [], now(5))
    assert synced.conditions == COMPLETE
    assert synced.status.start_time is None


def test_a_job_is_suspended_and_resumed() -> None:
    suspended = sync(job(suspend=True, status=JobStatus(start_time=at(0))), [], now(5))
    assert suspended.status.start_time is None
    assert [(e.reason, e.message) for e in suspended.events] == [("Suspended", "Job suspended")]
    resumed = sync(job(status=suspended.status, completions=4, parallelism=2), [], now(9))
    assert len(resumed.actions.creates) == 2
    assert resumed.status.start_time == at(9)
    assert [(e.reason, e.message) for e in resumed.events] == [("Resumed", "Job resumed")]
    (found,) = resumed.status.conditions
    assert (found.status, found.reason, found.message) == ("False", "JobResumed", "Job resumed")
    again = sync(job(status=resumed.status, completions=4, parallelism=2), pods({"Running": 2}))
    assert again.writes == []


# --- backoffLimit with restarts in place ---


@pytest.mark.parametrize(
    ("limit", "restarts", "failed"),
    [(0, [0], False), (0, [1], True), (2, [1], False), (2, [1, 1], True), (2, [0, 2], True)],
)
def test_restarts_count_towards_the_limit(limit: int, restarts: list[int], failed: bool) -> None:
    template = {"spec": {"restartPolicy": "OnFailure"}}
    its_pods = [
        pod(f"p{n}", container_statuses=[{"name": "main", "restartCount": count}])
        for n, count in enumerate(restarts)
    ]
    of = job(parallelism=2, completions=2, backoff_limit=limit, template=template)
    conditions = sync(of, its_pods).conditions
    assert conditions == (failed_for("BackoffLimitExceeded", ended=False) if failed else [])
    never = job(parallelism=2, completions=2, backoff_limit=limit)
    assert sync(never, its_pods).conditions == []


# --- limits by index ---


def code(action: str) -> JsonObject:
    return {"action": action, "onExitCodes": {"operator": "In", "values": [3]}}


@pytest.mark.parametrize(
    ("spec", "its_pods", "want", "failed_indexes"),
    [
        (
            {},
            [
                pod("a1", "Failed", index=0, failures=0),
                pod("a2", "Succeeded", index=0, failures=1),
                pod("b", "Succeeded", index=1, failures=0),
            ],
            Want(succeeded=2, failed=1, indexes="0,1", conditions=COMPLETE, patches=3),
            "",
        ),
        (
            {},
            [pod("a", "Failed", index=0, failures=0)],
            Want(creates=2, active=2),
            "",
        ),
        (
            {},
            [
                pod("a", "Failed", index=0, failures=0),
                pod("b", "Pending", index=0, failures=1),
            ],
            Want(creates=1, active=2, failed=1, patches=1),
            "",
        ),
        (
            {},
            [pod("a", "Failed", index=0, failures=1)],
            Want(creates=1, active=1, failed=1, patches=1),
            "0",
        ),
        (
            {"rule": "FailIndex"},
            [pod("a", "Failed", index=0, failures=0, exit_code=3)],
            Want(creates=1, active=1, failed=1, patches=1),
            "0",
        ),
        (
            {"rule": "FailJob"},
            [pod("a", "Failed", index=0, failures=0, exit_code=3)],
            Want(failed=1, patches=1, conditions=failed_for("PodFailurePolicy")),
            "",
        ),
        (
            {"rule": "Ignore"},
            [pod("a", "Failed", index=0, failures=0, exit_code=3)],
            Want(creates=2, active=2),
            "",
        ),
        (
            {"backoff_limit": 1},
            [pod("a", "Failed", index=0, failures=0), pod("b", "Failed", index=1, failures=0)],
            Want(failed=2, patches=2, conditions=failed_for("BackoffLimitExceeded")),
            "",
        ),
        (
            {},
            [
                pod("a", "Failed", index=0, failures=1),
                pod("b", "Succeeded", index=1, failures=0),
            ],
            Want(
                succeeded=1, failed=1, indexes="1", patches=2,
                conditions=failed_for("FailedIndexes"),
            ),
            "0",
        ),
        (
            {"parallelism": 4, "completions": 4, "max_failed_indexes": 1},
            [
                pod("a", "Failed", index=0, failures=1),
                pod("b", "Succeeded", index=1, failures=0),
                pod("c", "Failed", index=2, failures=1),
                pod("d", "Running", index=3, failures=0),
            ],
            Want(
                deletes=1, succeeded=1, failed=3, terminating=1, indexes="1", patches=4,
                conditions=failed_for("MaxFailedIndexesExceeded", ended=False),
            ),
            "0,2",
        ),
    ],
)  # fmt: skip
def test_a_limit_for_each_index(
    spec: Spec, its_pods: list[Pod], want: Want, failed_indexes: str
) -> None:
    fields = {"parallelism": 2, "completions": 2, "backoff_limit": 2**31 - 1, **spec}
    rule = fields.pop("rule", None)
    if rule:
        fields["pod_failure_policy"] = typed(PodFailurePolicy, {"rules": [code(rule)]})
    of = job(backoff_limit_per_index=1, completion_mode="Indexed", **fields)
    synced = sync(of, its_pods, now(60))
    assert shown(synced) == want
    assert synced.status.failed_indexes == failed_indexes


def test_indexes_whose_back_off_is_over_go_ahead_of_others() -> None:
    of = job(parallelism=2, completions=2, backoff_limit_per_index=5, completion_mode="Indexed")
    its_pods = [
        pod("a", "Failed", index=0, failures=0, exit_code=1, ended_s=100),
        pod("b", "Failed", index=1, failures=2, exit_code=1, ended_s=100),
    ]
    assert sync(of, its_pods, now(111)).actions.creates == [NewPod(0, failures=1)]
    assert sync(of, its_pods, now(104)).actions.look_again_s == 6
    assert sync(of, its_pods, now(140)).created_indexes == [0, 1]


# --- the policies ---


def test_a_failed_job_keeps_the_message_of_its_rule() -> None:
    policy = typed(PodFailurePolicy, {"rules": [code("FailJob")]})
    of = job(parallelism=2, completions=2, pod_failure_policy=policy)
    first = sync(of, [pod("a", "Failed", exit_code=3), pod("b")], now(60))
    assert first.conditions == failed_for("PodFailurePolicy", ended=False)
    gone = [pod("b", "Failed", tracked=False)]
    second = sync(job(pod_failure_policy=policy, status=first.status), gone, now(70))
    assert second.conditions == failed_for("PodFailurePolicy")
    message = "Container main for pod ns/a failed with exit code 3 matching FailJob rule at index 0"
    assert [c.message for c in second.status.conditions] == [message] * 2
    (event,) = second.events
    assert (event.type, event.reason, event.message) == ("Warning", "PodFailurePolicy", message)


def test_ignored_failures_do_not_count() -> None:
    policy = typed(PodFailurePolicy, {"rules": [code("Ignore")]})
    of = job(parallelism=1, backoff_limit=0, pod_failure_policy=policy)
    synced = sync(of, [pod("a", "Failed", exit_code=3)], now(60))
    assert (synced.status.failed, len(synced.actions.creates)) == (0, 1)
    assert synced.untracked == ["a"]


def test_with_a_failure_policy_a_pod_is_judged_when_it_has_ended() -> None:
    policy = typed(PodFailurePolicy, {"rules": [code("FailJob")]})
    going = pod("a", deleting_s=0, exit_code=3)
    synced = sync(job(pod_failure_policy=policy), [going], now(60))
    assert synced.conditions == []
    assert synced.untracked == []
    assert len(synced.actions.creates) == 0


def test_a_success_policy_ends_the_job_before_its_time() -> None:
    policy = typed(SuccessPolicy, {"rules": [{"succeededIndexes": "1"}]})
    of = job(parallelism=3, completions=3, success_policy=policy, completion_mode="Indexed")
    its_pods = [pod("a", "Running", index=0), pod("b", "Succeeded", index=1)]
    first = sync(of, its_pods, now(60))
    assert first.conditions == [("SuccessCriteriaMet", "SuccessPolicy")]
    assert first.status.conditions[0].message == "Matched rules at index 0"
    assert (len(first.actions.deletes), first.actions.untrack) == (1, False)
    # a pod that ended with the Job is neither a success nor a failure
    assert (first.status.succeeded, first.status.failed) == (1, 0)
    second = sync(job(parallelism=3, success_policy=policy, status=first.status), [], now(61))
    assert second.conditions[-1] == ("Complete", "SuccessPolicy")
    assert second.status.completion_time == at(61)


def test_a_success_that_was_decided_outlives_a_failure() -> None:
    policy = typed(SuccessPolicy, {"rules": [{"succeededCount": 1}]})
    decided = Condition(type="SuccessCriteriaMet", status="True", reason="SuccessPolicy")
    status = JobStatus(start_time=at(0), conditions=[decided], completed_indexes="0", succeeded=1)
    of = job(
        completions=3,
        backoff_limit=0,
        success_policy=policy,
        status=status,
        completion_mode="Indexed",
    )
    synced = sync(of, [pod("b", "Failed", index=1)], now(60))
    assert [kind for kind, _ in synced.conditions] == ["SuccessCriteriaMet", "Complete"]


def test_too_many_successes_are_said() -> None:
    synced = sync(job(parallelism=1), pods({"Succeeded": 2}), now(60))
    assert [e.reason for e in synced.events] == ["TooManySucceededPods", "Completed"]


def test_what_is_noted_already_counts_towards_the_limit_once() -> None:
    noted = UncountedTerminatedPods(failed=["a"])
    status = JobStatus(start_time=at(0), failed=1, uncounted_terminated_pods=noted)
    of = job(backoff_limit=2, status=status)
    synced = sync(of, [pod("a", "Failed")], now(60))
    assert (synced.status.failed, synced.conditions) == (2, [])
