"""A snapshot of a running cluster: one moment, all kinds, read through the API like any client."""

from collections.abc import Awaitable, Callable

import pytest
from apicluster import BOB, Cluster, config_map
from crdcluster import DEFINITIONS, WIDGETS, condition, custom_cluster, definition, version, widget

from kubeherd.cluster.api.errors import ApiError, from_status
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, User
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportResponse
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.snapshot import taking
from kubeherd.snapshot.model import Origin, Snapshot, SnapshotError

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"

Before = Callable[[Request], Awaitable[object]]


async def nothing(_request: Request) -> None:
    return


class Served(StubTransport):
    """The cluster's API; `before` may do what it likes before a request is carried out."""

    def __init__(self, cluster: Cluster, user: User, before: Before) -> None:
        self.cluster, self.user, self.before = cluster, user, before

    async def answer(self, request: Request) -> TransportResponse:
        await self.before(request)
        answer = await self.cluster.raw(
            request.method, request.path, query=request.query, user=self.user, accept=request.accept
        )
        assert isinstance(answer, ApiResponse)
        return TransportResponse(answer.status, answer.body, answer.content_type, {})


async def take(cluster: Cluster, before: Before = nothing, user: User | None = None) -> Snapshot:
    transport = Served(cluster, user or cluster.user, before)
    return await taking.take(ApiClient(transport, cluster.clock), Origin.CLUSTER)


def of(snapshot: Snapshot, resource: str) -> dict[str, int]:
    return {one.name: one.revision for one in snapshot.entries if one.resource == resource}


async def test_all_that_is_stored_is_in_it(cluster: Cluster):
    await cluster.post(MAPS, config_map("a", text="hello"))
    await cluster.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    taken = await take(cluster)
    store = cluster.store
    stored = {
        (key, record.namespace, record.name, record.revision)
        for key in store.resource_keys()
        for record in store.list(key)
    }
    assert {(e.resource, e.namespace, e.name, e.revision) for e in taken.entries} == stored
    assert taken.revision == store.revision
    found = next(e for e in taken.entries if (e.resource, e.name) == ("configmaps", "a"))
    assert found.tree()["data"] == {"text": "hello"}
    assert (found.tree()["kind"], found.tree()["apiVersion"]) == ("ConfigMap", "v1")


async def test_what_is_written_meanwhile_is_not_in_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(taking, "PAGE_LIMIT", 2)
    for name in "abcde":
        await cluster.post(MAPS, config_map(name))
    before = {record.name: record.revision for record in cluster.store.list("configmaps")}

    async def write(request: Request) -> None:
        if request.query.get("resourceVersionMatch") or "continue" in request.query:
            written = config_map(f"later-{len(cluster.store.list('configmaps'))}")
            await cluster.post(MAPS, written)
            await cluster.patch(f"{MAPS}/a", {"data": {"seen": written["metadata"]["name"]}})
            await cluster.delete(f"{MAPS}/e")

    assert of(await take(cluster, write), "configmaps") == before


async def test_the_objects_of_definitions_that_come_meanwhile_are_in_it():
    async with custom_cluster() as cluster:
        await cluster.post(WIDGETS, widget("w"))
        seen: list[str] = []

        async def define(request: Request) -> None:
            seen.append(request.path)
            if request.path == "/api/v1/namespaces" and seen.count(request.path) == 1:
                more = definition(plural="gadgets", kind="Gadget", shortNames=[])
                more["metadata"]["name"] = "gadgets.example.com"
                await cluster.post(DEFINITIONS, more)
                await condition(cluster, "Established", name="gadgets.example.com")
                gadget = {**widget("g"), "kind": "Gadget"}
                answer = await cluster.post(WIDGETS.replace("widgets", "gadgets"), gadget)
                assert answer.status == 201, answer.message

        taken = await take(cluster, define)
        assert (list(of(taken, "widgets.example.com")), list(of(taken, "gadgets.example.com"))) == (
            ["w"],
            ["g"],
        )


async def test_custom_objects_are_read_as_they_are_stored():
    versions = version("v1", storage=True), version("v2", storage=False)
    async with custom_cluster(definition(*versions)) as cluster:
        await cluster.post(WIDGETS, widget("w"))
        taken = await take(cluster)
        found = next(e for e in taken.entries if e.resource == "widgets.example.com")
        assert found.tree()["apiVersion"] == "example.com/v1"


async def test_what_another_server_keeps_is_named(cluster: Cluster):
    service = {
        "metadata": {"name": "v1.elsewhere.example.com"},
        "spec": {
            "group": "elsewhere.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": "default", "name": "s"},
        },
    }
    assert (await cluster.post(SERVICES, service)).status == 201
    taken = await take(cluster)
    assert taken.notes == ["the group elsewhere.example.com is served and kept by another server"]


async def test_who_may_not_read_everything_gets_nothing(cluster: Cluster):
    with pytest.raises(SnapshotError, match="right to read everything: namespaces is forbidden"):
        await take(cluster, user=BOB)


@pytest.mark.parametrize(
    ("code", "reason", "why"),
    [
        (410, "Expired", "changed too much while it was read .gone.: try again"),
        (404, "NotFound", "changed too much while it was read"),
        (500, "InternalError", "configmaps cannot be read: gone"),
    ],
)
async def test_a_list_that_is_refused_time_and_again_ends_it(cluster: Cluster, code, reason, why):
    tried = 0

    async def refuse(request: Request) -> None:
        nonlocal tried
        if request.path == "/api/v1/configmaps":
            tried += 1
            raise from_status({"code": code, "reason": reason, "message": "gone"})

    with pytest.raises(SnapshotError, match=why):
        await take(cluster, refuse)
    assert tried == (1 if code == 500 else taking.ATTEMPTS)


async def test_what_is_forgotten_once_is_read_again(cluster: Cluster):
    refused: list[ApiError] = []

    async def forget(request: Request) -> None:
        if request.path == "/api/v1/configmaps" and not refused:
            refused.append(from_status({"code": 410, "reason": "Expired", "message": "old"}))
            raise refused[0]

    assert of(await take(cluster, forget), "namespaces").keys() >= {"default", "kube-system"}
