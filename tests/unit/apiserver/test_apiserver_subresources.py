"""Binding, eviction, log, scale, connect and reviews (spec api-machinery, sections 9 and 20)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from apicluster import ADMIN, BOB, NODE, Cluster, api_cluster, daemon_set, pod

from kubeherd.cluster.apiserver.edge.messages import WatchResponse
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.rng import Rng

PODS = "/api/v1/namespaces/default/pods"
BINDING: dict[str, Any] = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}


async def test_a_binding_gives_a_pod_its_node(cluster: Cluster) -> None:
    labels = {"topology.kubernetes.io/zone": "z", "other": "x"}
    await cluster.post("/api/v1/nodes", {"metadata": {"name": "n1", "labels": labels}})
    await cluster.post(PODS, pod("p"))
    bound = {**BINDING, "metadata": {"name": "p", "annotations": {"a": "b"}}}
    answer = await cluster.post(f"{PODS}/p/binding", bound)
    assert (answer.status, answer.tree) == (
        201,
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201},
    )
    tree = (await cluster.get(f"{PODS}/p")).tree
    assert tree["spec"]["nodeName"] == "n1"
    assert tree["metadata"]["annotations"] == {"a": "b"}
    assert tree["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z"}
    assert tree["metadata"]["generation"] == 1
    (condition,) = tree["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = await cluster.post(f"{PODS}/p/binding", BINDING)
    assert (again.status, again.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )


async def test_binding_through_the_bindings_resource(cluster: Cluster) -> None:
    await cluster.post(PODS, pod("p"))
    answer = await cluster.post("/api/v1/namespaces/default/bindings", BINDING)
    assert answer.status == 201
    assert (await cluster.get(f"{PODS}/p")).tree["spec"]["nodeName"] == "n1"


@pytest.mark.parametrize(
    ("spec", "binding", "code", "text"),
    [
        ({}, {"metadata": {"name": "q"}}, 400, "name in URL does not match name in Binding object"),
        ({}, {"metadata": {}}, 400, "name in URL does not match name in Binding object"),
        ({}, {"target": {"kind": "Pod", "name": "x"}}, 422, "target.kind: Unsupported value"),
        ({}, {"target": {"kind": "Node"}}, 422, "target.name: Required value"),
        ({}, {"metadata": {"name": "p", "uid": "x"}}, 409, "Precondition failed: UID"),
        (
            {"schedulingGates": [{"name": "a.b/c"}]},
            {},
            409,
            "pod p has non-empty .spec.schedulingGates",
        ),
    ],
)
async def test_bindings_that_are_refused(
    cluster: Cluster, spec: Any, binding: Any, code: int, text: str
) -> None:
    await cluster.post(PODS, pod("p", **spec))
    answer = await cluster.post(f"{PODS}/p/binding", BINDING | binding)
    assert answer.status == code
    assert text in answer.message
    assert "nodeName" not in (await cluster.get(f"{PODS}/p")).tree["spec"]


async def test_binding_of_an_absent_or_terminating_pod(cluster: Cluster) -> None:
    assert (await cluster.post(f"{PODS}/p/binding", BINDING)).status == 404
    body = pod("p")
    body["metadata"]["finalizers"] = ["a.b/c"]
    await cluster.post(PODS, body)
    await cluster.delete(f"{PODS}/p")
    answer = await cluster.post(f"{PODS}/p/binding", BINDING)
    assert "pod p is being deleted, cannot be assigned to a host" in answer.message


async def _running_pod(cluster: Cluster) -> None:
    body = pod("p")
    body["metadata"]["labels"] = {"app": "x"}
    await cluster.post(PODS, body)
    await cluster.post(f"{PODS}/p/binding", BINDING)
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "state": {"running": {}}, "ready": True}],
    }
    assert (await cluster.patch(f"{PODS}/p/status", {"status": status})).status == 200


async def test_the_log_of_a_container_is_served(cluster: Cluster, tmp_path: Path) -> None:
    assert (await cluster.get(f"{PODS}/p/log")).status == 404
    await cluster.post(PODS, pod("p"))
    assert (await cluster.get(f"{PODS}/p/log")).status == 204
    await cluster.delete(f"{PODS}/p")
    await _running_pod(cluster)
    uid = (await cluster.get(f"{PODS}/p")).tree["metadata"]["uid"]
    (tmp_path / uid).mkdir()
    lines = [f"2026-01-01T00:00:0{n}.000000Z stdout F line {n}\n" for n in range(3)]
    (tmp_path / uid / "c.log").write_text("".join(lines))
    api = ApiServer(cluster.store, cluster.clock, Rng(1), pod_log_dir=tmp_path)
    logged = replace(cluster, api=api)
    assert (await logged.get(f"{PODS}/p/log")).raw == b"line 0\nline 1\nline 2\n"
    tail = await logged.get(f"{PODS}/p/log?tailLines=1&timestamps=true")
    assert tail.raw == b"2026-01-01T00:00:02.000000000Z line 2\n"
    assert (await logged.get(f"{PODS}/p/log?limitBytes=3")).raw == b"lin"
    assert (await logged.get(f"{PODS}/p/log?sinceSeconds=1")).raw == b""
    unknown = await logged.get(f"{PODS}/p/log?container=z")
    assert (unknown.status, unknown.message) == (400, "container z is not valid for pod p")


async def test_the_log_before_the_last_restart_is_the_previous_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    await _running_pod(cluster)
    uid = (await cluster.get(f"{PODS}/p")).tree["metadata"]["uid"]
    (tmp_path / uid).mkdir()
    (tmp_path / uid / "c.previous.log").write_text("t stdout F before\n")
    (tmp_path / uid / "c.log").write_text("t stdout F now\n")
    api = ApiServer(cluster.store, cluster.clock, Rng(1), pod_log_dir=tmp_path)
    logged = replace(cluster, api=api)
    missing = await logged.get(f"{PODS}/p/log?previous=true")
    assert missing.message == 'previous terminated container "c" in pod "p" not found'
    entry = {"name": "c", "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}
    await cluster.patch(f"{PODS}/p/status", {"status": {"containerStatuses": [entry]}})
    assert (await logged.get(f"{PODS}/p/log?previous=true")).raw == b"before\n"
    assert (await logged.get(f"{PODS}/p/log")).raw == b"now\n"


async def test_a_container_without_a_file_is_told_of_by_its_status(cluster: Cluster) -> None:
    await _running_pod(cluster)
    entry = {
        "name": "c",
        "image": "x:1",
        "restartCount": 2,
        "containerID": "fake://1",
        "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}},
        "lastState": {
            "terminated": {
                "exitCode": 1,
                "startedAt": "2026-01-01T00:00:01Z",
                "finishedAt": "2026-01-01T00:00:03Z",
            }
        },
    }
    await cluster.patch(f"{PODS}/p/status", {"status": {"containerStatuses": [entry]}})
    answer = await cluster.get(f"{PODS}/p/log?timestamps=true")
    assert answer.raw == b"2026-01-01T00:00:05.000000000Z started (attempt 3, image x:1)\n"
    answer = await cluster.get(f"{PODS}/p/log?previous=true")
    assert answer.raw == b"started (attempt 2, image x:1)\nexited with code 1\n"
    entry["containerID"] = "containerd://1"
    await cluster.patch(f"{PODS}/p/status", {"status": {"containerStatuses": [entry]}})
    answer = await cluster.get(f"{PODS}/p/log")
    assert answer.status == 400
    assert "is not one of kubeherd's" in answer.message


async def test_the_only_regular_container_is_meant(cluster: Cluster) -> None:
    await cluster.post(PODS, pod("p", initContainers=[{"name": "i", "image": "x"}]))
    assert (await cluster.get(f"{PODS}/p/log")).status == 204


async def test_log_of_several_containers_asks_which(cluster: Cluster) -> None:
    containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    init = [{"name": "i", "image": "x"}]
    await cluster.post(PODS, pod("p", containers=containers, initContainers=init))
    answer = await cluster.get(f"{PODS}/p/log")
    assert answer.message == (
        "a container name must be specified for pod p, choose one of: [i a b]"
    )


async def test_scale_reads_and_writes_replicas(cluster: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert (await cluster.post(path, daemon_set("d"))).status == 201
    scale = (await cluster.get(f"{path}/d/scale")).tree
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
        "Scale",
        {"replicas": 1},
        "app=d",
    )
    scale["spec"]["replicas"] = 4
    assert (await cluster.put(f"{path}/d/scale", scale)).status == 200
    patched = await cluster.patch(f"{path}/d/scale", {"spec": {"replicas": 5}})
    assert patched.tree["spec"] == {"replicas": 5}
    assert (await cluster.get(f"{path}/d")).tree["spec"]["replicas"] == 5
    assert (await cluster.put(f"{path}/d/scale", scale)).status == 409
    bad = await cluster.patch(f"{path}/d/scale", {"spec": {"replicas": -1}})
    assert bad.status == 422


async def test_ephemeral_containers_only_add_themselves(cluster: Cluster) -> None:
    await cluster.post(PODS, pod("p"))
    added = {"ephemeralContainers": [{"name": "e", "image": "x"}], "nodeName": "n1"}
    tree = (await cluster.patch(f"{PODS}/p/ephemeralcontainers", {"spec": added})).tree
    assert [c["name"] for c in tree["spec"]["ephemeralContainers"]] == ["e"]
    assert "nodeName" not in tree["spec"]
    assert tree["metadata"]["generation"] == 2


# --- reviews ---

REVIEWS = "/apis/authorization.k8s.io/v1"


async def _allowed(cluster: Cluster, user: Any, **attributes: str) -> bool:
    body = {"spec": {"resourceAttributes": attributes}}
    answer = await cluster.post(f"{REVIEWS}/selfsubjectaccessreviews", body, user=user)
    assert answer.status == 201
    return bool(answer.tree["status"]["allowed"])


async def test_a_pod_is_resized_by_its_subresource_only(cluster: Cluster) -> None:
    small = {"resources": {"requests": {"cpu": "100m"}}}
    await cluster.post(PODS, pod("p", containers=[{"name": "c", "image": "i", **small}]))
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "50m"}}}]}}
    assert (await cluster.patch(f"{PODS}/p", patch)).status == 422
    resized = await cluster.patch(f"{PODS}/p/resize", patch)
    assert resized.status == 200
    assert resized.tree["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "50m"}
    other = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    kept = await cluster.patch(f"{PODS}/p/resize", other)
    assert kept.status == 422 or kept.tree["spec"]["containers"][0]["image"] == "i"


async def test_self_subject_access_review(cluster: Cluster) -> None:
    assert await _allowed(cluster, ADMIN, verb="delete", resource="nodes")
    assert not await _allowed(cluster, BOB, verb="get", resource="pods", namespace="default")
    assert await _allowed(cluster, NODE, verb="get", resource="nodes", name="n1")
    assert not await _allowed(cluster, NODE, verb="get", resource="nodes", name="n2")


async def test_subject_access_and_rules_review(cluster: Cluster) -> None:
    body = {"spec": {"user": "x", "groups": ["system:masters"], "nonResourceAttributes": {
        "path": "/metrics", "verb": "get"}}}  # fmt: skip
    answer = await cluster.post(f"{REVIEWS}/subjectaccessreviews", body)
    assert answer.tree["status"]["allowed"] is True
    rules = await cluster.post(
        f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=BOB
    )
    paths = [url for rule in rules.tree["status"]["nonResourceRules"]
             for url in rule["nonResourceURLs"]]  # fmt: skip
    assert "/healthz" in paths
    who = await cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=BOB)
    assert who.tree["status"]["userInfo"]["username"] == "bob"


async def test_follow_ends_with_the_container(tmp_path: Path) -> None:
    async with api_cluster(speed=1000) as cluster:
        await _running_pod(cluster)
        uid = (await cluster.get(f"{PODS}/p")).tree["metadata"]["uid"]
        log = tmp_path / uid / "c.log"
        log.parent.mkdir()
        log.write_text("t stdout F one\n")
        api = ApiServer(cluster.store, cluster.clock, Rng(1), pod_log_dir=tmp_path)
        response = await replace(cluster, api=api).raw("GET", f"{PODS}/p/log?follow=true")
        assert isinstance(response, WatchResponse)
        chunks = response.chunks
        assert await anext(chunks) == b"one\n"
        log.write_text("t stdout F one\nt stdout F two\n")
        ended = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}
        await cluster.patch(f"{PODS}/p/status", {"status": ended})
        assert b"".join([chunk async for chunk in chunks]) == b"two\n"


async def test_follow_stays_with_its_container_and_within_its_limit(tmp_path: Path) -> None:
    async with api_cluster(speed=1000) as cluster:
        await _running_pod(cluster)
        uid = (await cluster.get(f"{PODS}/p")).tree["metadata"]["uid"]
        log = tmp_path / uid / "c.log"
        log.parent.mkdir()
        log.write_text("t stdout F one\nt stdout F two\n")
        api = ApiServer(cluster.store, cluster.clock, Rng(1), pod_log_dir=tmp_path)
        served = replace(cluster, api=api)
        limited = await served.raw("GET", f"{PODS}/p/log?follow=true&limitBytes=6")
        assert isinstance(limited, WatchResponse)
        chunks = limited.chunks
        assert await anext(chunks) == b"one\ntw"
        assert [chunk async for chunk in chunks] == []
        tailed = await served.raw("GET", f"{PODS}/p/log?follow=true&tailLines=1")
        assert isinstance(tailed, WatchResponse)
        chunks = tailed.chunks
        assert await anext(chunks) == b"two\n"
        with log.open("a") as file:
            file.write("t stdout F three\n")
        log.rename(tmp_path / uid / "c.previous.log")
        log.write_text("t stdout F of the next container\n")
        again = {"name": "c", "containerID": "fake://2", "state": {"running": {}}}
        await cluster.patch(f"{PODS}/p/status", {"status": {"containerStatuses": [again]}})
        assert b"".join([chunk async for chunk in chunks]) == b"three\n"
