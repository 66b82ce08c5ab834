"""When a pod ended and how long its replacement waits: the tables of backoff_utils_test.go."""

from datetime import timedelta

import pytest
from daemonset_world import EPOCH
from job_world import at, now, pod

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Container, ObjectMeta, Pod, PodSpec, PodStatus
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.job import backoff
from kubeherd.controller.job.model import Backoff
from kubeherd.controller.job.pods import failures, finished_at


def ended(seconds: float) -> Pod:
    return pod(phase="Failed", exit_code=1, ended_s=seconds)


@pytest.mark.parametrize(
    ("known", "succeeded", "failed", "expected"),
    [
        (Backoff(), [], [100], (1, 100)),
        (Backoff(), [], [100, 99], (2, 100)),
        (Backoff(), [100], [98, 99], (0, None)),
        (Backoff(), [98], [100, 96, 97, 99], (2, 100)),
        (Backoff(2), [], [100], (3, 100)),
        (Backoff(), [100], [100], (0, None)),
        (Backoff(), [], [], (0, None)),
        (Backoff(), [100], [], (0, None)),
        (Backoff(3, EPOCH), [100], [], (0, None)),
        (Backoff(3, EPOCH), [], [], (3, 0)),
    ],
)
def test_failures_after_the_last_success_count(
    known: Backoff, succeeded: list[int], failed: list[int], expected: tuple[int, int | None]
) -> None:
    after = backoff.after(known, [ended(s) for s in succeeded], [ended(s) for s in failed])
    count, last_s = expected
    last = None if last_s is None else EPOCH + timedelta(seconds=last_s)
    assert after == Backoff(count, last)


@pytest.mark.parametrize(
    ("failed", "age_s", "expected_s"),
    [
        (0, 0, 0), (1, 0, 10), (1, 1, 9), (1, 10, 0), (1, 11, 0), (3, 0, 40), (6, 0, 320),
        (7, 0, 600), (8, 0, 600), (1_000_000, 0, 600),
    ],
)  # fmt: skip
def test_the_wait_doubles(failed: int, age_s: float, expected_s: float) -> None:
    assert backoff.remaining_s(Backoff(failed, EPOCH), now(age_s).age_s) == expected_s


@pytest.mark.parametrize(
    ("last_failed", "expected_s"),
    [
        (None, 0),
        (pod(phase="Failed", failures=2, deleting_s=0), 40),
        (pod(phase="Failed", failures=1, ignored=1, deleting_s=0), 40),
    ],
)
def test_an_index_waits_for_its_own_failures(last_failed: Pod | None, expected_s: float) -> None:
    assert backoff.remaining_of_index_s(last_failed, now(0).age_s) == expected_s


def state(**states: JsonObject) -> JsonObject:
    return {"name": "main", "state": states}


def gone(seconds: float) -> JsonObject:
    return state(terminated={"finishedAt": at(seconds), "exitCode": 0})


NOT_READY = Condition(type="Ready", status="False", last_transition_time=at(100))
READY = Condition(type="Ready", status="True", last_transition_time=at(70))


@pytest.mark.parametrize(
    ("containers", "conditions", "metadata", "expected_s"),
    [
        ([gone(99), gone(100), gone(98)], [], {}, 100),
        ([gone(99), state(running={}), gone(98)], [], {"deletion_timestamp": at(100)}, 100),
        ([state(running={})], [], {"deletion_timestamp": at(100)}, 100),
        (
            [state(running={})],
            [],
            {"deletion_timestamp": at(100), "deletion_grace_period_seconds": 30},
            70,
        ),
        ([state(terminated={})], [NOT_READY], {}, 100),
        ([state(terminated={})], [READY], {"deletion_timestamp": at(100)}, 100),
        ([state(terminated={})], [], {"creation_timestamp": at(100)}, 100),
    ],
)
def test_when_a_pod_ended(
    containers: list[JsonObject],
    conditions: list[Condition],
    metadata: dict[str, object],
    expected_s: float,
) -> None:
    ended_pod = Pod(
        metadata=ObjectMeta(**metadata),  # type: ignore[arg-type]
        status=PodStatus(container_statuses=containers, conditions=conditions),
    )
    assert format_time(finished_at(ended_pod)) == at(expected_s)


def test_a_sidecar_ends_last_and_an_init_container_does_not_count() -> None:
    containers = (Container(name="sidecar", restart_policy="Always"), Container(name="init"))
    statuses = [{**gone(100), "name": "sidecar"}, {**gone(900), "name": "init"}]
    ended_pod = Pod(
        spec=PodSpec(init_containers=containers),
        status=PodStatus(container_statuses=[gone(99)], init_container_statuses=statuses),
    )
    assert format_time(finished_at(ended_pod)) == at(100)


@pytest.mark.parametrize(
    ("written", "expected"),
    [(None, 0), ("2", 2), (2**31 - 1, 2**31 - 1), (2**31, 0), ("-1", 0), ("xyz", 0)],
)
def test_failure_counts_are_read_with_suspicion(written: int | str | None, expected: int) -> None:
    assert failures(pod(failures=written)) == expected
