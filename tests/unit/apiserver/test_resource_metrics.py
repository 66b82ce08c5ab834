"""metrics.k8s.io: what `kubectl top` asks for."""

from collections.abc import Mapping
from typing import Any

from apicluster import BOB, Cluster

ROOT = "/apis/metrics.k8s.io/v1beta1"
PODS = f"{ROOT}/namespaces/default/pods"


async def node(cluster: Cluster, name: str, ready: str = "True", **annotations: str) -> None:
    await cluster.post("/api/v1/nodes", {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"zone": name}, "annotations": annotations},
    })  # fmt: skip
    status = {"status": {"conditions": [{"type": "Ready", "status": ready}]}}
    answer = await cluster.patch(f"/api/v1/nodes/{name}/status", status)
    assert answer.status == 200


async def pod(
    cluster: Cluster,
    name: str,
    on: str,
    *,
    running: bool = True,
    annotations: Mapping[str, str] | None = None,
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await cluster.post("/api/v1/namespaces/default/serviceaccounts", account)
    requests = {"cpu": "1", "memory": "1Gi"}
    made = await cluster.post("/api/v1/namespaces/default/pods", {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {
            f"kubeherd.io/{key}": value for key, value in (annotations or {}).items()}},
        "spec": {"nodeName": on, "containers": [
            {"name": "plain", "image": "i"},
            {"name": "big", "image": "i", "resources": {"requests": requests}}]},
    })  # fmt: skip
    assert made.status == 201
    state: dict[str, Any] = {"running": {}} if running else {"waiting": {}}
    statuses = [
        {"name": container, "image": "i", "imageID": "", "ready": running, "restartCount": 0,
         "state": state}
        for container in ("plain", "big")
    ]  # fmt: skip
    status = {"status": {"phase": "Running", "containerStatuses": statuses}}
    answer = await cluster.patch(f"/api/v1/namespaces/default/pods/{name}/status", status)
    assert answer.status == 200


def usage(tree: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {one["name"]: one["usage"] for one in tree["containers"]}


async def test_pods_use_a_part_of_what_they_request_or_what_annotations_say(
    cluster: Cluster,
) -> None:
    await node(cluster, "n")
    await pod(cluster, "a", "n")
    said = {"cpu-usage": "2", "big.memory-usage": "7Gi", "big.cpu-usage": "x"}
    await pod(cluster, "b", "n", annotations=said)
    first = (await cluster.get(f"{PODS}/a")).tree
    assert (first["kind"], first["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")
    assert first["metadata"]["labels"] == {"app": "a"}
    assert first["window"] == "15s"
    assert usage(first) == {
        "plain": {"cpu": "3m", "memory": "20Mi"},
        "big": {"cpu": "500m", "memory": "768Mi"},
    }
    assert usage((await cluster.get(f"{PODS}/b")).tree) == {
        "plain": {"cpu": "2", "memory": "20Mi"},
        "big": {"cpu": "500m", "memory": "7Gi"},
    }


async def test_nodes_use_what_their_pods_use_and_something_for_themselves(cluster: Cluster) -> None:
    await node(cluster, "n")
    await node(cluster, "told", **{"kubeherd.io/cpu-usage": "3500m"})
    await pod(cluster, "a", "n")
    listed = (await cluster.get(f"{ROOT}/nodes")).tree
    assert (listed["kind"], listed["metadata"]) == ("NodeMetricsList", {})
    assert {item["metadata"]["name"]: item["usage"] for item in listed["items"]} == {
        "n": {"cpu": "603m", "memory": "1300Mi"},
        "told": {"cpu": "3500m", "memory": "512Mi"},
    }


async def test_what_does_not_run_or_cannot_be_asked_has_no_metrics(cluster: Cluster) -> None:
    await node(cluster, "n")
    await node(cluster, "dead", "Unknown")
    await pod(cluster, "waits", "n", running=False)
    await pod(cluster, "lost", "dead")
    assert (await cluster.get(f"{ROOT}/pods")).tree["items"] == []
    answer = await cluster.get(f"{PODS}/lost")
    assert (answer.status, answer.message) == (
        404, 'podmetrics.metrics.k8s.io "default/lost" not found',
    )  # fmt: skip
    answer = await cluster.get(f"{ROOT}/nodes/dead")
    assert answer.message == 'nodemetrics.metrics.k8s.io "dead" not found'


async def test_they_can_be_selected_shown_as_a_table_and_asked_for_in_json_only(
    cluster: Cluster,
) -> None:
    await node(cluster, "n")
    for name in ("a", "b"):
        await pod(cluster, name, "n")
    found = (await cluster.get(f"{PODS}?labelSelector=app=b")).tree["items"]
    assert [item["metadata"]["name"] for item in found] == ["b"]
    found = (await cluster.get(f"{PODS}?fieldSelector=metadata.name=a")).tree["items"]
    assert [item["metadata"]["name"] for item in found] == ["a"]
    table = await cluster.get(PODS, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [row["cells"][0] for row in table.tree["rows"]] == ["a", "b"]
    both = "application/vnd.kubernetes.protobuf,application/json"
    assert (await cluster.get(PODS, accept=both)).content_type == "application/json"
    assert (await cluster.get(PODS, accept="application/vnd.kubernetes.protobuf")).status == 406


async def test_they_are_read_by_right_and_not_written(cluster: Cluster) -> None:
    assert (await cluster.get(PODS, user=BOB)).status == 403
    assert (await cluster.post(PODS, {"kind": "PodMetrics"})).status == 405
    assert (await cluster.get(f"{PODS}?watch=1")).status == 405
    listed = (await cluster.get(ROOT)).tree["resources"]
    assert [(one["name"], one["verbs"]) for one in listed] == [
        ("nodes", ["get", "list"]), ("pods", ["get", "list"]),
    ]  # fmt: skip
