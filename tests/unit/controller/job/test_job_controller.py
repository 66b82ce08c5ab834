"""The shell of the Job controller against an API server that answers as it is told."""

import asyncio
from typing import Any

import msgspec
from controllerworld import play
from fakeapi import FakeApi, failing_writes
from job_world import LABELS

from kubeherd.cluster.api.errors import Conflict, forbidden
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS, PODS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.job.controller import JobController
from kubeherd.simulation.transport import Request

FINALIZER = "batch.kubernetes.io/job-tracking"
QUOTA = forbidden(PODS, "job-x", "exceeded quota")


def tree(**spec: Any) -> JsonObject:
    containers = [{"name": "main", "image": "app"}]
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": containers}}
    wanted = {"completions": 2, "parallelism": 2, "selector": {"matchLabels": LABELS}}
    return {
        "metadata": {"name": "job", "namespace": "ns", "uid": "job-uid", "generation": 1},
        "spec": {**wanted, "template": template, **spec},
    }


def status(api: FakeApi) -> JsonObject:
    job = api.get(JOBS, "job", "ns")
    assert job is not None
    found: JsonObject = job.get("status") or {}
    return found


def end_all(api: FakeApi, phase: str = "Succeeded") -> None:
    for pod in api.all(PODS):
        api.change(PODS, pod["metadata"]["name"], {"status": {"phase": phase}}, "ns")


def reasons(api: FakeApi) -> list[str]:
    return [reason for _, reason, _ in api.events()]


def test_pods_are_created_counted_and_let_go() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, tree())
        await asyncio.sleep(3)
        assert status(api)["active"] == 2
        assert [pod["metadata"]["finalizers"] for pod in api.all(PODS)] == [[FINALIZER]] * 2
        end_all(api)
        await asyncio.sleep(5)

    api = play(JobController, scenario=scenario)
    assert (status(api)["succeeded"], status(api).get("active", 0)) == (2, 0)
    assert [c["type"] for c in status(api)["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert not any(pod["metadata"].get("finalizers") for pod in api.all(PODS))
    assert sorted(reasons(api)) == ["Completed", "SuccessfulCreate", "SuccessfulCreate"]


def test_what_a_quota_refuses_is_said_counted_as_missing_and_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/pods", QUOTA)
        api.put(JOBS, tree())
        await asyncio.sleep(2)
        assert (status(api).get("active", 0), status(api)["ready"]) == (0, 0)
        assert set(reasons(api)) == {"FailedCreate"}
        api.disturbance = lambda _: None
        await asyncio.sleep(10)
        assert status(api)["active"] == 2

    play(JobController, scenario=scenario)


def test_a_finalizer_that_stays_keeps_its_pod_uncounted() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, tree())
        await asyncio.sleep(3)
        stuck = api.all(PODS)[0]["metadata"]["name"]
        api.disturbance = failing_writes(f"/pods/{stuck}", QUOTA)
        end_all(api)
        await asyncio.sleep(5)
        assert status(api)["succeeded"] == 1
        assert len(status(api)["uncountedTerminatedPods"]["succeeded"]) == 1
        assert [c["type"] for c in status(api)["conditions"]] == ["SuccessCriteriaMet"]
        api.disturbance = lambda _: None
        await asyncio.sleep(30)

    api = play(JobController, scenario=scenario)
    assert (status(api)["succeeded"], status(api)["uncountedTerminatedPods"]) == (2, {})
    assert [c["type"] for c in status(api)["conditions"]] == ["SuccessCriteriaMet", "Complete"]


def test_no_finalizer_goes_before_the_status_is_stored() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, tree())
        await asyncio.sleep(3)
        api.disturbance = failing_writes("/jobs/job/status", Conflict("the object was modified"))
        end_all(api)
        await asyncio.sleep(5)
        assert all(pod["metadata"]["finalizers"] for pod in api.all(PODS))

    play(JobController, scenario=scenario)


def test_orphans_are_adopted_and_strangers_released() -> None:
    owner = {
        "apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": "job-uid",
        "controller": True,
    }  # fmt: skip

    def pod(name: str, labels: JsonObject, owners: list[JsonObject]) -> JsonObject:
        finalizers = [FINALIZER] if owners else []
        metadata = {"name": name, "namespace": "ns", "labels": labels, "finalizers": finalizers}
        return {
            "metadata": {**metadata, "ownerReferences": owners}, "status": {"phase": "Running"},
        }  # fmt: skip

    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod("orphan", LABELS, []))
        api.put(PODS, pod("stranger", {"other": "label"}, [owner]))
        api.put(JOBS, tree(completions=1, parallelism=1))
        await asyncio.sleep(5)

    api = play(JobController, scenario=scenario)
    pods = {pod["metadata"]["name"]: pod["metadata"] for pod in api.all(PODS)}
    assert pods.keys() == {"orphan", "stranger"}
    assert pods["orphan"]["finalizers"] == [FINALIZER]
    assert pods["orphan"]["ownerReferences"][0]["uid"] == "job-uid"
    assert not pods["stranger"].get("ownerReferences")
    assert not pods["stranger"].get("finalizers")


def test_a_deadline_wakes_the_job() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, tree(activeDeadlineSeconds=100))
        await asyncio.sleep(90)
        assert "conditions" not in status(api)
        await asyncio.sleep(30)

    api = play(JobController, scenario=scenario)
    assert [c["reason"] for c in status(api)["conditions"]] == ["DeadlineExceeded"] * 2
    assert (status(api)["failed"], api.all(PODS)) == (2, [])


def test_creates_that_got_no_answer_make_no_pod_too_many() -> None:
    """A create that nobody answered is tried again under the same name, before any other."""

    async def scenario(api: FakeApi) -> None:
        lost: list[str] = []

        def lose(request: Request) -> Exception | None:
            if request.method == "POST" and request.path.endswith("/pods") and not lost:
                name = msgspec.msgpack.decode(request.body or b"")["metadata"]["name"]
                lost.append(name)
                return TransportError("connection reset")
            return None

        api.disturbance = lose
        api.put(JOBS, tree(completions=3, parallelism=3))
        await asyncio.sleep(10)
        names = {pod["metadata"]["name"] for pod in api.all(PODS)}
        assert len(names) == 3
        assert lost[0] in names

    play(JobController, scenario=scenario)
