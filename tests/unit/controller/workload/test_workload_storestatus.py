"""Writing a status: once, and once more if the object was newer."""

from collections.abc import Callable

import pytest
from fakeapi import FakeApi, failing_writes

from kubeherd.cluster.api.errors import Conflict, InternalError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import REPLICASETS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.client import ApiClient
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.storestatus import store_status
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

PATH = REPLICASETS.path("ns", "web")


def stored(then: Callable[[FakeApi], object]) -> FakeApi:
    """Look at an object, let something happen, then write its status."""

    async def main(clock: VirtualClock) -> FakeApi:
        api = FakeApi(clock)
        api.put(
            REPLICASETS, {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"replicas": 3}}
        )
        client = ApiClient(api, clock)
        seen = await client.get(REPLICASETS, PartialObject, "web", "ns")
        then(api)
        writer = ObjectWriter(client, "ns", Written(clock), {})
        await store_status(writer, Owner(REPLICASETS, seen.metadata), {"replicas": 2})
        return api

    return virtualtime.run_with_clock(main)


def label(api: FakeApi) -> JsonObject:
    return api.change(REPLICASETS, "web", {"metadata": {"labels": {"a": "b"}}}, "ns")


def test_one_write_is_enough() -> None:
    api = stored(lambda _: None)
    assert api.count("PUT", f"{PATH}/status") == 1
    assert api.objects[PATH]["status"] == {"replicas": 2}
    assert api.objects[PATH]["spec"] == {"replicas": 3}


def test_what_others_wrote_meanwhile_stays() -> None:
    api = stored(label)
    assert api.count("PUT", f"{PATH}/status") == 2
    assert api.objects[PATH]["status"] == {"replicas": 2}
    assert api.objects[PATH]["metadata"]["labels"] == {"a": "b"}


def test_an_object_of_another_life_gets_nothing() -> None:
    def recreate(api: FakeApi) -> None:
        api.remove(REPLICASETS, "web", "ns")
        api.put(REPLICASETS, {"metadata": {"name": "web", "namespace": "ns"}})

    with pytest.raises(Conflict):
        stored(recreate)


def test_an_object_that_is_gone_is_an_error() -> None:
    with pytest.raises(NotFound):
        stored(lambda api: api.remove(REPLICASETS, "web", "ns"))


def test_the_second_failure_is_told() -> None:
    def refuse(api: FakeApi) -> None:
        api.disturbance = failing_writes("/status", InternalError("no"))

    with pytest.raises(InternalError):
        stored(refuse)
