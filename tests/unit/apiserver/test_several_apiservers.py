"""Several API servers over what they share: together they are as one, whoever is asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import orjson
import pytest
from apicluster import (
    APPLY,
    BOB,
    JSON_PATCH,
    MERGE,
    Answer,
    Cluster,
    config_map,
    pod,
)
from memoryengine import Shared, SharedMemoryEngine

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.shared import SharedStore
from kubeherd.cluster.store.store import running

NS = "/api/v1/namespaces/default"
POD_TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "main", "image": "app"}]},
}

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
HOOK = {
    "name": "h.example.com",
    "clientConfig": {"url": "https://127.0.0.1:1/"},
    "rules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}
    ],
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
}


class Servers:
    """Two API servers, asked in process."""

    def __init__(self, engines: list[SharedMemoryEngine], clusters: list[Cluster]) -> None:
        self.engines = engines
        self.a, self.b = clusters

    def late(self, which: int) -> None:
        """One of them sees nothing before it asks for something itself."""
        self.engines[which].late()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    shared = Shared()
    engines = [shared.engine(), shared.engine()]
    clusters = []
    async with AsyncExitStack() as stack:
        for number, engine in enumerate(engines):
            store = SharedStore(engine, attrs_of, rng=Rng(number))
            await stack.enter_async_context(running(store))
            clock = LoopClock(1.0)
            clusters.append(Cluster(ApiServer(store, clock, Rng(number)), store, clock))
        await asyncio.gather(*(cluster.api.bootstrap() for cluster in clusters))
        yield Servers(engines, clusters)


async def test_servers_that_start_together_make_what_every_cluster_has_once(
    servers: Servers,
) -> None:
    namespaces = (await servers.b.get("/api/v1/namespaces")).tree["items"]
    assert [one["metadata"]["name"] for one in namespaces] == [
        "default", "kube-node-lease", "kube-public", "kube-system",
    ]  # fmt: skip
    uids = Counter(
        row.value[: row.value.index(b"creationTimestamp")] for row in servers.engines[0].shared.rows
    )
    assert max(uids.values()) == 1


async def test_a_read_shows_what_another_server_has_acknowledged(servers: Servers) -> None:
    servers.late(1)
    made = await servers.a.post(f"{NS}/configmaps", config_map("x", a="1"))
    version = made.tree["metadata"]["resourceVersion"]
    found = await servers.b.get(f"{NS}/configmaps/x")
    assert found.tree == made.tree
    servers.late(1)
    await servers.a.delete(f"{NS}/configmaps/x")
    listed = await servers.b.get(f"{NS}/configmaps")
    assert listed.tree["items"] == []
    assert int(listed.tree["metadata"]["resourceVersion"]) > int(version)


async def test_an_answer_carries_the_version_under_which_it_was_stored(servers: Servers) -> None:
    made = await servers.a.post(f"{NS}/configmaps", config_map("x", a="1"))
    patched = await servers.a.patch(f"{NS}/configmaps/x", {"data": {"a": "2"}}, MERGE)
    for answer in (made, patched):
        assert int(answer.tree["metadata"]["resourceVersion"]) > 1
    found = await servers.a.get(f"{NS}/configmaps/x")
    assert found.tree == patched.tree
    dry = await servers.a.patch(
        f"{NS}/configmaps/x", {"data": {"a": "3"}}, MERGE, query={"dryRun": "All"}
    )
    assert dry.tree["metadata"]["resourceVersion"] == found.tree["metadata"]["resourceVersion"]


async def test_what_an_old_state_would_refuse_is_looked_at_again(servers: Servers) -> None:
    servers.late(1)
    await servers.a.post(f"{NS}/configmaps", config_map("x"))
    assert (await servers.b.patch(f"{NS}/configmaps/x", {"data": {}}, MERGE)).status == 200
    servers.late(1)
    await servers.a.delete(f"{NS}/configmaps/x")
    assert (await servers.b.post(f"{NS}/configmaps", config_map("x"))).status == 201
    servers.late(1)
    changed = await servers.a.patch(f"{NS}/configmaps/x", {"data": {"a": "2"}}, MERGE)
    changed.tree["data"]["a"] = "3"
    tree = {**changed.tree, "data": {"a": "3"}}
    assert (await servers.b.put(f"{NS}/configmaps/x", tree)).status == 200
    servers.late(1)
    gone = await servers.a.delete(f"{NS}/configmaps/x")
    assert gone.status == 200
    assert (await servers.b.delete(f"{NS}/configmaps/x")).status == 404


async def test_what_a_new_object_needs_may_have_just_been_made_at_another_server(
    servers: Servers,
) -> None:
    servers.late(1)
    await servers.a.post("/api/v1/namespaces", {"metadata": {"name": "fresh"}})
    made = await servers.b.post("/api/v1/namespaces/fresh/configmaps", config_map("x"))
    assert made.status == 201, made.message
    servers.late(1)
    await servers.a.post(f"{NS}/serviceaccounts", {"metadata": {"name": "fresh"}})
    wanted = pod("p")
    wanted["spec"]["serviceAccountName"] = "fresh"
    made = await servers.b.post(f"{NS}/pods", wanted)
    assert made.status == 201, made.message
    servers.late(1)
    await servers.a.delete("/api/v1/namespaces/fresh")
    refused = await servers.b.post("/api/v1/namespaces/fresh/configmaps", config_map("y"))
    assert refused.status in (403, 404)


async def test_who_applies_what_another_server_has_just_made_changes_it(servers: Servers) -> None:
    body = {**config_map("x", a="1"), "apiVersion": "v1", "kind": "ConfigMap"}
    servers.late(1)
    await servers.a.patch(f"{NS}/configmaps/x", body, APPLY, query={"fieldManager": "one"})
    body["data"] = {"b": "2"}
    found = await servers.b.patch(f"{NS}/configmaps/x", body, APPLY, query={"fieldManager": "two"})
    assert (found.status, found.tree.get("data")) == (200, {"a": "1", "b": "2"})


async def test_nobody_is_told_of_a_write_that_is_under_way(servers: Servers) -> None:
    """A dry run and webhooks look at the object when another write of it has no revision yet."""
    path = f"{NS}/configmaps/x"
    made = await servers.a.post(f"{NS}/configmaps", config_map("x"))
    told: list[str] = []

    async def post(hook: Hook, body: bytes) -> bytes:
        review = orjson.loads(body)
        told.append(review["request"]["oldObject"]["metadata"]["resourceVersion"])
        return orjson.dumps(
            {**review, "response": {"uid": review["request"]["uid"], "allowed": True}}
        )

    async def busy() -> asyncio.Task[Answer]:
        meta = {"finalizers": ["a/b"], "labels": {"n": "1"}}
        write = asyncio.create_task(servers.a.patch(path, {"metadata": meta}, MERGE))
        while servers.a.store.staged("configmaps", "default", "x") is None:
            assert not write.done()
            await asyncio.sleep(0)
        return write

    servers.engines[0].turns = 20
    write = await busy()
    dry = await servers.a.patch(path, {"data": {"a": "2"}}, MERGE, query={"dryRun": "All"})
    told.append(dry.tree["metadata"]["resourceVersion"])
    await write
    await servers.a.patch(path, {"metadata": {"labels": {"n": "2"}}}, MERGE)
    write = await busy()
    dry = await servers.a.delete(path, query={"dryRun": "All"})
    told.append(dry.tree["metadata"]["resourceVersion"])
    await write
    await servers.a.patch(path, {"metadata": {"labels": {"n": "2"}}}, MERGE)
    servers.a.api.services.registry.webhooks.post = post
    write = await busy()
    await servers.a.post(HOOKS, {"metadata": {"name": "h"}, "webhooks": [HOOK]})
    await write
    await servers.a.patch(path, {"metadata": {"labels": {"n": "3"}}}, MERGE)
    versions = list(map(int, told))
    assert len(versions) >= 3
    assert min(versions) > int(made.tree["metadata"]["resourceVersion"])


async def test_an_update_of_an_old_version_is_a_conflict_on_every_server(servers: Servers) -> None:
    old = (await servers.a.post(f"{NS}/configmaps", config_map("x"))).tree
    servers.late(1)
    await servers.a.patch(f"{NS}/configmaps/x", {"data": {"a": "1"}}, MERGE)
    refused = await servers.b.put(f"{NS}/configmaps/x", {**old, "data": {"b": "2"}})
    assert (refused.status, refused.tree["reason"]) == (409, "Conflict")


async def test_no_change_is_lost_when_both_change_one_object(servers: Servers) -> None:
    await servers.a.post(f"{NS}/configmaps", config_map("x", start="0"))
    await servers.b.get(f"{NS}/configmaps/x")
    answers = await asyncio.gather(
        *(
            server.patch(f"{NS}/configmaps/x", {"data": {f"{name}{n}": "1"}}, MERGE)
            for n in range(20)
            for name, server in (("a", servers.a), ("b", servers.b))
        )
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.tree["metadata"]["resourceVersion"] for answer in answers}) == 40
    assert len((await servers.a.get(f"{NS}/configmaps/x")).tree["data"]) == 41


async def test_a_patch_that_tests_a_value_is_made_once(servers: Servers) -> None:
    await servers.a.post(f"{NS}/configmaps", config_map("x", owner=""))
    await servers.b.get(f"{NS}/configmaps/x")

    def take(name: str) -> list[dict[str, str]]:
        return [
            {"op": "test", "path": "/data/owner", "value": ""},
            {"op": "replace", "path": "/data/owner", "value": name},
        ]

    answers = await asyncio.gather(
        *(
            server.patch(f"{NS}/configmaps/x", take(f"{n}"), JSON_PATCH)
            for n, server in enumerate([servers.a, servers.b] * 3)
        )
    )
    assert sorted(answer.status for answer in answers) == [200, 422, 422, 422, 422, 422]


async def test_a_quota_holds_for_all_servers_together(servers: Servers) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "5"}}}
    await servers.a.post(f"{NS}/resourcequotas", quota)
    await servers.a.patch(
        f"{NS}/resourcequotas/q/status",
        {"status": {"hard": {"count/configmaps": "5"}, "used": {"count/configmaps": "0"}}},
        MERGE,
    )
    await servers.b.get(f"{NS}/resourcequotas/q")
    answers = await asyncio.gather(
        *(
            server.post(f"{NS}/configmaps", config_map(f"{name}{n}"))
            for n in range(8)
            for name, server in (("a", servers.a), ("b", servers.b))
        )
    )
    assert Counter(answer.status for answer in answers) == {201: 5, 403: 11}
    assert len((await servers.b.get(f"{NS}/configmaps")).tree["items"]) == 5
    used = (await servers.a.get(f"{NS}/resourcequotas/q")).tree["status"]["used"]
    assert used == {"count/configmaps": "5"}


async def test_addresses_and_ports_are_given_once(servers: Servers) -> None:
    def service(name: str) -> dict[str, object]:
        spec = {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]}
        return {"metadata": {"name": name}, "spec": spec}

    # The same name in two namespaces wants the same address and port first.
    await servers.a.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await servers.b.get("/api/v1/namespaces/other")
    answers = await asyncio.gather(
        *(
            server.post(f"/api/v1/namespaces/{namespace}/services", service(f"s{n}"))
            for n in range(6)
            for namespace, server in (("default", servers.a), ("other", servers.b))
        )
    )
    assert {answer.status for answer in answers} == {201}
    specs = [answer.tree["spec"] for answer in answers]
    assert len({spec["clusterIP"] for spec in specs}) == 12
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 12
    addresses = (await servers.b.get("/apis/networking.k8s.io/v1/ipaddresses")).tree["items"]
    assert {one["metadata"]["name"] for one in addresses} >= {spec["clusterIP"] for spec in specs}


async def test_a_right_that_one_server_gave_holds_on_the_other(servers: Servers) -> None:
    path = f"{NS}/configmaps"
    assert (await servers.b.get(path, user=BOB)).status == 403
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]}]
    await servers.a.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
    await servers.a.post(
        f"{rbac}/rolebindings",
        {
            "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "bob"}],
        },
    )
    await servers.b.get(path)
    assert (await servers.b.get(path, user=BOB)).status == 200
    await servers.a.delete(f"{rbac}/rolebindings/r")
    await servers.b.get(path)
    assert (await servers.b.get(path, user=BOB)).status == 403


async def test_a_deposed_leader_is_refused_by_a_server_that_has_not_seen_it(
    servers: Servers,
) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    spec = {"holderIdentity": "one", "leaseTransitions": 1}
    await servers.a.post(leases, {"metadata": {"name": "m"}, "spec": spec})
    await servers.b.get(f"{leases}/m")
    header = {"kubeherd_fence": "kube-system/m/one/1"}
    assert (await servers.b.post(f"{NS}/configmaps", config_map("w"), **header)).status == 201
    servers.late(1)
    taken = {"spec": {"holderIdentity": "two", "leaseTransitions": 2}}
    await servers.a.patch(f"{leases}/m", taken, MERGE)
    refused = await servers.b.post(f"{NS}/configmaps", config_map("y"), **header)
    assert (refused.status, refused.tree["reason"]) == (409, "LeaseLost")
    assert (await servers.a.get(f"{NS}/configmaps/y")).status == 404


async def test_a_watch_goes_on_at_another_server_that_is_behind(servers: Servers) -> None:
    servers.late(1)
    made = await servers.a.post(f"{NS}/configmaps", config_map("x"))
    version = made.tree["metadata"]["resourceVersion"]
    poll = {"watch": "1", "poll": "1", "resourceVersion": version, "timeoutSeconds": "0"}
    answer = await servers.b.get(f"{NS}/configmaps", query=poll)
    assert (answer.status, answer.tree) == (200, {"resourceVersion": version, "events": []})
    listed = await servers.b.get(f"{NS}/configmaps", query={"resourceVersion": version})
    assert [one["metadata"]["name"] for one in listed.tree["items"]] == ["x"]
    watcher = await servers.b.watch(
        f"{NS}/configmaps", query={"watch": "1", "resourceVersion": version}
    )
    await servers.a.post(f"{NS}/configmaps", config_map("y"))
    event = await watcher.next()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "y")
    await watcher.close()


async def test_a_revision_that_nobody_has_reached_is_refused(servers: Servers) -> None:
    poll = {"watch": "1", "poll": "1", "resourceVersion": "99999", "timeoutSeconds": "0"}
    assert (await servers.b.get(f"{NS}/configmaps", query=poll)).status == 410


async def test_without_the_engine_writes_and_reads_that_need_it_fail_and_old_ones_do_not(
    servers: Servers,
) -> None:
    servers.engines[0].broken = "etcd: no leader"
    refused = await servers.a.post(f"{NS}/configmaps", config_map("x"))
    assert (refused.status, refused.message) == (503, "etcd: no leader")
    assert (await servers.a.get(f"{NS}/configmaps")).status == 503
    assert (await servers.a.get(f"{NS}/configmaps", query={"resourceVersion": "0"})).status == 200
    assert (await servers.a.get("/readyz")).status == 500
    made = await servers.b.post(f"{NS}/configmaps", config_map("x"))
    assert made.status == 201
    later = int(made.tree["metadata"]["resourceVersion"]) + 1
    query = {"watch": "1", "poll": "1", "timeoutSeconds": "0", "resourceVersion": str(later)}
    polled = await servers.a.get(f"{NS}/configmaps", query=query)
    assert polled.status == 503, "whether that is too new for anybody is not known"
    servers.engines[0].broken = ""
    assert (await servers.a.get(f"{NS}/configmaps/x")).status == 200


async def test_events_are_given_an_hour(servers: Servers) -> None:
    asked = []
    transact = servers.engines[0].transact

    async def spy(changes, guards):
        asked.extend(changes)
        return await transact(changes, guards)

    servers.engines[0].transact = spy  # type: ignore[method-assign]
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "type": "Normal", "reason": "R", "message": "m",
    }  # fmt: skip
    assert (await servers.a.post(f"{NS}/events", event)).status == 201
    await servers.a.post(f"{NS}/configmaps", config_map("x"))
    assert [(one.resource_key, one.ttl_s) for one in asked] == [
        (kinds.EVENTS.group_resource, 3600),
        ("configmaps", 0),
    ]


async def test_a_collection_is_deleted_though_others_write_in_it(servers: Servers) -> None:
    for n in range(5):
        await servers.a.post(f"{NS}/configmaps", config_map(f"x{n}"))
    await servers.b.get(f"{NS}/configmaps")
    servers.late(1)
    await servers.a.patch(f"{NS}/configmaps/x3", {"data": {"a": "1"}}, MERGE)
    assert (await servers.b.delete(f"{NS}/configmaps")).status == 200
    assert (await servers.a.get(f"{NS}/configmaps")).tree["items"] == []


async def test_of_two_servers_one_binds_a_pod(servers: Servers) -> None:
    await servers.a.post(f"{NS}/pods", pod("p"))
    await servers.b.get(f"{NS}/pods/p")
    answers = await asyncio.gather(
        *(
            server.post(f"{NS}/pods/p/binding", {"metadata": {"name": "p"}, "target": {"name": n}})
            for n, server in (("n1", servers.a), ("n2", servers.b))
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 409]


async def test_what_acts_on_an_object_knows_what_another_server_has_just_made(
    servers: Servers,
) -> None:
    servers.late(1)
    await servers.a.post(f"{NS}/serviceaccounts", {"metadata": {"name": "x"}})
    assert (await servers.b.post(f"{NS}/serviceaccounts/x/token", {})).status == 201
    servers.late(1)
    await servers.a.post(f"{NS}/pods", pod("p"))
    assert (await servers.b.get(f"{NS}/pods/p/log")).status == 204
    servers.late(1)
    await servers.a.delete(f"{NS}/pods/p")
    evicted = await servers.b.post(f"{NS}/pods/p/eviction", {"metadata": {"name": "p"}})
    assert evicted.status == 404
    controller = {
        "metadata": {"name": "r"},
        "spec": {"replicas": 2, "selector": {"a": "b"}, "template": POD_TEMPLATE},
    }
    servers.late(1)
    await servers.a.post(f"{NS}/replicationcontrollers", controller)
    scale = await servers.b.get(f"{NS}/replicationcontrollers/r/scale")
    assert scale.tree["spec"] == {"replicas": 2}
