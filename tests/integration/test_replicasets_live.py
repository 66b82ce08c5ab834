"""kubectl and the controllers of ReplicaSets and ReplicationControllers, on a cluster of processes.

One cluster for the module; each test has names of its own.
"""

import json
from collections.abc import Iterator

import pytest
from kubectl_runner import NEEDS_KUBECTL, Kubectl

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = NEEDS_KUBECTL
KINDS = {"rs": ("apps/v1", "ReplicaSet"), "rc": ("v1", "ReplicationController")}


@pytest.fixture(scope="module")
def kubectl(kubeherd_factory: Clusters) -> Iterator[Kubectl]:
    with kubeherd_factory(nodes=2) as cluster:
        yield Kubectl(cluster.kubeconfig)


def manifest(kind: str, name: str, replicas: int) -> str:
    api_version, full = KINDS[kind]
    labels = {"app": name}
    container = {"name": "c", "image": "nginx", "ports": [{"containerPort": 80}]}
    tree: JsonObject = {
        "apiVersion": api_version,
        "kind": full,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels} if kind == "rs" else labels,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    return json.dumps(tree)


def wait_replicas(kubectl: Kubectl, what: str, replicas: int, *more: str) -> None:
    condition = f"--for=jsonpath={{.status.replicas}}={replicas}"
    kubectl.done(f"wait {what} {condition} --timeout=90s", *more)


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_up_and_down_exposed_and_left_without_its_pods(kubectl: Kubectl, kind: str) -> None:
    name = f"web-{kind}"
    what = f"{kind}/{name}"
    kubectl.done("apply -f -", stdin=manifest(kind, name, 2))
    kubectl.done(f"wait {what} --for=jsonpath={{.status.readyReplicas}}=2 --timeout=90s")
    kubectl.done(f"scale {what} --current-replicas=2 --replicas=4")
    wait_replicas(kubectl, what, 4)
    assert "Error" in kubectl(f"scale {what} --current-replicas=2 --replicas=9")[1].title()
    kubectl.done(f"scale {what} --replicas=1")
    wait_replicas(kubectl, what, 1)
    kubectl.done(f"expose {what} --port=80")
    assert f"app={name}" in kubectl.done(f"get service {name} -o wide")
    events = kubectl.done(f"describe {what}")
    assert events.count("SuccessfulCreate") == 4
    assert events.count("SuccessfulDelete") == 3
    kubectl.done(f"delete {what} --cascade=orphan")
    kubectl.done(f"wait pod -l app={name} --for=jsonpath={{.status.phase}}=Running --timeout=90s")
    kubectl.done("apply -f -", stdin=manifest(kind, name, 1))
    wait_replicas(kubectl, what, 1)
    pods = json.loads(kubectl.done(f"get pods -l app={name} -o json"))["items"]
    (adopted,) = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    assert adopted["metadata"]["ownerReferences"][0]["name"] == name
    kubectl.done(f"delete {what}")
    kubectl.done(f"wait pod -l app={name} --for=delete --timeout=90s")


def test_what_a_quota_refuses_is_a_condition_until_it_is_gone(kubectl: Kubectl) -> None:
    kubectl.done("create namespace tight")
    kubectl.done("-n tight create quota q --hard=pods=1")
    kubectl.done("-n tight apply -f -", stdin=manifest("rs", "web", 3))
    kubectl.done("-n tight wait rs/web --for=condition=ReplicaFailure --timeout=90s")
    status = json.loads(kubectl.done("-n tight get rs web -o jsonpath={.status}"))
    assert status["replicas"] == 1
    (condition,) = status["conditions"]
    assert condition["reason"] == "FailedCreate"
    assert "is forbidden: exceeded quota: q, requested: pods=1" in condition["message"]
    assert "Error creating: pods" in kubectl.done("-n tight get events")
    kubectl.done("-n tight delete quota q")
    wait_replicas(kubectl, "rs/web", 3, "-n", "tight")
    assert "conditions" not in json.loads(kubectl.done("-n tight get rs web -o jsonpath={.status}"))
