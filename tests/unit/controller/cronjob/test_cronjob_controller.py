"""The CronJob controller against a server, on virtual time (cronjob_controllerv2_test.go)."""

from collections.abc import Awaitable, Callable

import pytest
from controllerworld import play
from fakeapi import FakeApi, failing_writes

from kubeherd.cluster.api.errors import AlreadyExists, Forbidden
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CRONJOBS, JOBS
from kubeherd.controller.cronjob.controller import CronJobController

Scenario = Callable[[FakeApi], Awaitable[None]]
NO_JOB_CAUSE = {"reason": "NamespaceTerminating"}


def cronjob(**spec: object) -> JsonObject:
    fields = {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}},
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        **spec,
    }
    return {"metadata": {"name": "tick", "namespace": "ns", "uid": "tick-uid"}, "spec": fields}


def jobs(api: FakeApi) -> list[str]:
    return sorted(tree["metadata"]["name"] for tree in api.all(JOBS))


def status(api: FakeApi) -> JsonObject:
    tree = api.get(CRONJOBS, "tick", "ns")
    assert tree is not None
    found: JsonObject = tree.get("status") or {}
    return found


def active(api: FakeApi) -> list[str]:
    return [reference["name"] for reference in status(api).get("active") or ()]


def end(api: FakeApi, name: str, how: str = "Complete") -> None:
    """A Job ends as the Job controller would say it."""
    now = api.clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    conditions = [{"type": how, "status": "True"}]
    done = {"completionTime": now} if how == "Complete" else {}
    api.change(JOBS, name, {"status": {"startTime": now, "conditions": conditions, **done}}, "ns")


def reasons(api: FakeApi) -> list[str]:
    return [reason for name, reason, _ in api.events() if name == "tick"]


def played(scenario: Scenario) -> FakeApi:
    return play(CronJobController, scenario=scenario)


def test_a_job_at_each_time() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob())
        await api.clock.sleep(150)
        minute = int(api.clock.now().timestamp()) // 60
        names = [f"tick-{minute - 1}", f"tick-{minute}"]
        assert jobs(api) == names
        assert active(api) == names
        shown = api.get(JOBS, names[1], "ns")
        assert shown is not None
        annotations = shown["metadata"]["annotations"]
        at = annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert status(api)["lastScheduleTime"] == at
        end(api, names[0])
        await api.clock.sleep(1)
        assert active(api) == names[1:]
        assert status(api)["lastSuccessfulTime"]

    api = played(scenario)
    assert reasons(api) == ["SuccessfulCreate", "SuccessfulCreate", "SawCompletedJob"]


def test_forbid_waits_and_replace_does_not() -> None:
    async def forbid(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob(concurrencyPolicy="Forbid"))
        await api.clock.sleep(200)
        (only,) = jobs(api)
        end(api, only)
        await api.clock.sleep(60)
        assert len(jobs(api)) == 2

    assert "JobAlreadyActive" in reasons(played(forbid))

    async def replacing(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob(concurrencyPolicy="Replace"))
        await api.clock.sleep(62)
        (first,) = jobs(api)
        await api.clock.sleep(60)
        (second,) = jobs(api)
        assert first != second
        assert active(api) == [second]

    api = played(replacing)
    assert reasons(api)[:3] == ["SuccessfulCreate", "SuccessfulDelete", "SuccessfulCreate"]
    sent = next(one for one in api.requests if one.method == "DELETE")
    assert sent.tree["propagationPolicy"] == "Background"


def test_suspended_and_resumed() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob(suspend=True))
        await api.clock.sleep(300)
        assert jobs(api) == []
        api.change(CRONJOBS, "tick", {"spec": {"suspend": False}}, "ns")
        await api.clock.sleep(1)
        assert len(jobs(api)) == 1, "the newest time that passed, and only that"

    played(scenario)


def test_history_is_cut_and_a_job_that_vanished_is_missed() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob(successfulJobsHistoryLimit=1))
        await api.clock.sleep(5)
        for _ in range(3):
            await api.clock.sleep(60)
            for name in active(api):
                end(api, name)
        await api.clock.sleep(1)
        assert len(jobs(api)) == 1
        assert active(api) == []
        await api.clock.sleep(60)
        (going,) = active(api)
        api.remove(JOBS, going, "ns")
        await api.clock.sleep(1)
        assert active(api) == []

    found = reasons(played(scenario))
    assert found.count("SuccessfulDelete") == 2
    assert "MissingJob" in found


def test_a_new_schedule_starts_nothing_for_times_that_passed_before() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob(schedule="0 0 1 1 *"))
        await api.clock.sleep(90)
        api.change(CRONJOBS, "tick", {"spec": {"schedule": "* * * * *"}}, "ns")
        await api.clock.sleep(10)
        assert jobs(api) == []
        await api.clock.sleep(60)
        assert len(jobs(api)) == 1
        api.change(CRONJOBS, "tick", {"spec": {"schedule": "nonsense"}}, "ns")
        await api.clock.sleep(10)

    assert "UnParseableCronJobSchedule" in reasons(played(scenario))


@pytest.mark.parametrize("own", [True, False])
def test_job_already_exists(own: bool) -> None:
    """A create whose answer was lost is found again; a Job of somebody else is left alone."""

    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob())
        minute = int(api.clock.now().timestamp()) // 60 + 1
        uid = "tick-uid" if own else "another"
        owner = {"kind": "CronJob", "name": "tick", "uid": uid, "controller": True}
        api.put(JOBS, {
            "metadata": {"name": f"tick-{minute}", "namespace": "ns", "ownerReferences": [owner]},
        })  # fmt: skip
        await api.clock.sleep(70)
        assert len(jobs(api)) == 1
        assert len(active(api)) == own

    assert "SuccessfulCreate" not in reasons(played(scenario))


def test_a_refused_create_is_told_and_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob())
        api.disturbance = failing_writes("/jobs", Forbidden("exceeded quota"))
        await api.clock.sleep(70)
        assert jobs(api) == []
        api.disturbance = failing_writes("/nothing", AlreadyExists("x"))
        await api.clock.sleep(30)
        assert len(jobs(api)) == 1

    api = played(scenario)
    messages = [message for _, reason, message in api.events() if reason == "FailedCreate"]
    assert messages[0] == "Error creating job: exceeded quota"


def test_a_namespace_that_ends_is_no_failure() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CRONJOBS, cronjob())
        ending = Forbidden("being terminated", details={"causes": [NO_JOB_CAUSE]})
        api.disturbance = failing_writes("/jobs", ending)
        await api.clock.sleep(70)

    assert reasons(played(scenario)) == []
