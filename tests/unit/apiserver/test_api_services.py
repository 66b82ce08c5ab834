"""APIServices: local groups are available; one behind a Service is not, and says why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from apicluster import BOB, Cluster, api_cluster
from crdcluster import DEFINITIONS, NAME, definition
from patience import PATIENCE_S

PATH = "/apis/apiregistration.k8s.io/v1/apiservices"
NO_NETWORK = "kubeherd has no network behind Services, and proxies no requests to them"


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    """A server whose background work runs."""
    async with api_cluster() as cluster:
        task = asyncio.create_task(cluster.api.run())
        yield cluster
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def condition(cluster: Cluster, name: str) -> dict[str, Any]:
    tree = (await cluster.get(f"{PATH}/{name}")).tree
    found = (tree.get("status") or {}).get("conditions") or [{}]
    return {key: value for key, value in found[0].items() if key != "lastTransitionTime"}


async def until(cluster: Cluster, path: str, holds: Callable[[Any], bool]) -> None:
    """Wait until the answer at a path is as wished."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds(await cluster.get(path)):
                return
            await asyncio.sleep(0.005)


def proxied(name: str = "v1.far.example.com") -> dict[str, Any]:
    version, _, group = name.partition(".")
    return {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000,
                 "versionPriority": 15, "insecureSkipTLSVerify": True,
                 "service": {"namespace": "default", "name": "far"}},
    }  # fmt: skip


async def test_the_groups_of_the_server_are_available_from_the_start(cluster: Cluster) -> None:
    items = (await cluster.get(PATH)).tree["items"]
    names = [item["metadata"]["name"] for item in items]
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1beta1.metrics.k8s.io"} <= {*names}
    assert "v1.apiregistration.k8s.io" not in names
    apps = next(item for item in items if item["metadata"]["name"] == "v1.apps")
    assert apps["spec"] == {
        "group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15,
    }  # fmt: skip
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert await condition(cluster, "v1.apps") == {
        "type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available",
    }  # fmt: skip
    accept = "application/json;as=Table;g=meta.k8s.io;v=v1"
    rows = (await cluster.get(f"{PATH}/v1.apps", accept=accept)).tree["rows"]
    assert rows[0]["cells"][:3] == ["v1.apps", "Local", "True"]


async def test_one_that_names_a_service_says_why_it_is_not(running: Cluster) -> None:
    assert (await running.post(PATH, proxied())).tree["status"] == {}
    missing = {
        "type": "Available", "status": "False", "reason": "ServiceNotFound",
        "message": 'service/far in "default" is not present',
    }  # fmt: skip
    path = f"{PATH}/v1.far.example.com"
    await until(running, path, lambda answer: b"ServiceNotFound" in answer.raw)
    assert await condition(running, "v1.far.example.com") == missing
    await running.post("/api/v1/namespaces/default/services", {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "far"},
        "spec": {"ports": [{"port": 443}]},
    })  # fmt: skip
    await until(running, path, lambda answer: b"FailedDiscoveryCheck" in answer.raw)
    found = await condition(running, "v1.far.example.com")
    assert found["message"] == (
        "failing or missing response from https://far.default.svc:443/apis/far.example.com/v1: "
        + NO_NETWORK
    )
    answer = await running.get("/apis/far.example.com/v1/things")
    assert (answer.status, answer.message) == (
        503, f"service unavailable: https://far.default.svc:443: {NO_NETWORK}",
    )  # fmt: skip
    assert (await running.get("/apis/far.example.com/v1/things", user=BOB)).status == 403
    assert (await running.get("/apis/near.example.com/v1/things")).status == 404


async def test_a_condition_is_brought_back_and_keeps_its_time(running: Cluster) -> None:
    path = f"{PATH}/v1.apps"
    before = (await running.get(path)).tree
    await running.patch(f"{path}/status", {"status": {"conditions": []}})
    await until(running, path, lambda answer: b"Local APIServices" in answer.raw)
    revision = running.store.revision
    await running.patch(path, {"metadata": {"labels": {"mine": "yes"}}})
    await until(running, path, lambda answer: b"mine" in answer.raw)
    after = (await running.get(path)).tree
    assert running.store.revision == revision + 1
    assert after["status"]["conditions"][0]["reason"] == before["status"]["conditions"][0]["reason"]


async def test_the_groups_of_definitions_come_and_go_with_them(running: Cluster) -> None:
    path = f"{PATH}/v1.example.com"
    await running.post(DEFINITIONS, definition())
    await until(running, path, lambda answer: answer.status == 200)
    made = (await running.get(path)).tree
    assert made["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert made["spec"]["groupPriorityMinimum"] == 1000
    assert (await condition(running, "v1.example.com"))["status"] == "True"
    await running.delete(f"{DEFINITIONS}/{NAME}")
    await until(running, path, lambda answer: answer.status == 404)
