"""What becomes of dependents when a delete does not say (DefaultGarbageCollectionPolicy)."""

from typing import Any

import pytest
from apicluster import Cluster

NS = "/api/v1/namespaces/default"
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


async def test_a_replication_controller_orphans_its_pods(cluster: Cluster) -> None:
    body = {"metadata": {"name": "r"}, "spec": {"template": TEMPLATE}}
    created = await cluster.post(f"{NS}/replicationcontrollers", body)
    assert created.tree["status"] == {"replicas": 0}
    answer = await cluster.call("DELETE", f"{NS}/replicationcontrollers/r")
    assert answer.tree["metadata"]["finalizers"] == ["orphan"]


async def test_a_replica_set_takes_its_pods_with_it(cluster: Cluster) -> None:
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
    path = "/apis/apps/v1/namespaces/default/replicasets"
    await cluster.post(path, {"metadata": {"name": "r"}, "spec": spec})
    assert (await cluster.call("DELETE", f"{path}/r")).tree["status"] == "Success"


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ({}, True),
        ({"propagationPolicy": "Background"}, False),
        ({"orphanDependents": "true"}, False),
    ],
)
async def test_who_deletes_a_job_without_a_word_is_told_that_its_pods_stay(
    cluster: Cluster, query: dict[str, str], warned: bool
) -> None:
    path = "/apis/batch/v1/namespaces/default/jobs"
    spec = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
    await cluster.post(path, {"metadata": {"name": "j"}, "spec": spec})
    answer = await cluster.call("DELETE", f"{path}/j", query=query)
    assert answer.status == 200
    warning = answer.headers.get("Warning", "")
    assert ("child pods are preserved by default when jobs are deleted" in warning) is warned


async def test_events_know_no_policy(cluster: Cluster) -> None:
    body = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
    await cluster.post(f"{NS}/events", body)
    query = {"propagationPolicy": "Foreground"}
    answer = await cluster.call("DELETE", f"{NS}/events/e", query=query)
    assert answer.tree["status"] == "Success"
    assert (await cluster.get(f"{NS}/events/e")).status == 404


async def test_events_are_judged_before_their_metadata(cluster: Cluster) -> None:
    answer = await cluster.post("/api/v1/namespaces/kube-system/events", {})
    assert [cause["field"] for cause in answer.tree["details"]["causes"]] == [
        "involvedObject.namespace"
    ]


async def test_a_runtime_class_says_what_a_pod_costs(cluster: Cluster) -> None:
    runtime = {
        "metadata": {"name": "rc"},
        "handler": "h",
        "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"a": "b"}},
    }
    await cluster.post("/apis/node.k8s.io/v1/runtimeclasses", runtime)
    spec = {**TEMPLATE["spec"], "runtimeClassName": "rc"}
    made = (await cluster.post(f"{NS}/pods", {"metadata": {"name": "p"}, "spec": spec})).tree
    assert (made["spec"]["overhead"], made["spec"]["nodeSelector"]) == ({"cpu": "10m"}, {"a": "b"})
    spec = {**TEMPLATE["spec"], "overhead": {"cpu": "1m"}}
    answer = await cluster.post(f"{NS}/pods", {"metadata": {"name": "q"}, "spec": spec})
    assert (answer.status, answer.message) == (
        403,
        'pods "q" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass '
        "defined Overhead",
    )
    missing = {**TEMPLATE["spec"], "runtimeClassName": "no"}
    answer = await cluster.post(f"{NS}/pods", {"metadata": {"name": "r"}, "spec": missing})
    assert answer.message.endswith('pod rejected: RuntimeClass "no" not found')


async def test_the_first_address_of_a_pod_is_its_address(cluster: Cluster) -> None:
    body = {"metadata": {"name": "p"}, "spec": TEMPLATE["spec"]}
    await cluster.post(f"{NS}/pods", body)
    patch: dict[str, Any] = {"status": {"podIPs": [{"ip": "10.0.0.1"}]}}
    merge = "application/merge-patch+json"
    answer = await cluster.patch(f"{NS}/pods/p/status", patch, merge)
    assert answer.tree["status"]["podIP"] == "10.0.0.1"
    patch = {"status": {"qosClass": "Guaranteed"}}
    refused = await cluster.patch(f"{NS}/pods/p/status", patch, merge)
    assert refused.message == (
        'Pod "p" is invalid: status.qosClass: Invalid value: "Guaranteed": field is immutable'
    )
