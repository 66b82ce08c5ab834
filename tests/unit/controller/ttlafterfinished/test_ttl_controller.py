"""The shell of the TTL controller: it deletes what a live look says may go."""

import asyncio

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.ttlafterfinished.controller import TTLAfterFinishedController


def ended(api: FakeApi, ttl_s: int | None, kind: str = "Complete") -> JsonObject:
    now = format_time(api.clock.now())
    condition = {"type": kind, "status": "True", "lastTransitionTime": now}
    spec = {} if ttl_s is None else {"ttlSecondsAfterFinished": ttl_s}
    metadata = {"name": "job", "namespace": "ns"}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": [condition]}}


def test_an_ended_job_is_deleted_in_the_foreground_when_its_time_is_over() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, ended(api, 60))
        await asyncio.sleep(50)
        assert api.get(JOBS, "job", "ns") is not None
        await asyncio.sleep(15)

    api = play(TTLAfterFinishedController, scenario=scenario)
    (job,) = api.all(JOBS)
    assert job["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert [method for method, _ in api.writes] == ["DELETE"]


def test_a_job_that_wants_more_time_gets_it() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, ended(api, 60))
        await asyncio.sleep(30)
        api.change(JOBS, "job", {"spec": {"ttlSecondsAfterFinished": 600}}, "ns")
        await asyncio.sleep(200)

    assert play(TTLAfterFinishedController, scenario=scenario).writes == []


def test_what_has_not_ended_or_has_no_ttl_stays() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(JOBS, ended(api, 1, "Suspended"))
        await asyncio.sleep(30)
        api.put(JOBS, ended(api, None))
        await asyncio.sleep(30)

    assert play(TTLAfterFinishedController, scenario=scenario).writes == []
