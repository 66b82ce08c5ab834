"""An operator, written with kopf, of a kind of its own: what people test operators for."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from patience import PATIENCE_S

from kubeherd.pytest_plugin.clusters import Clusters

OPERATOR = """
import kopf

@kopf.on.create("example.com", "v1", "counters")
@kopf.on.update("example.com", "v1", "counters", field="spec")
def counted(spec, patch, **_):
    patch.status["doubled"] = spec["count"] * 2

@kopf.on.delete("example.com", "v1", "counters")
def gone(**_):
    pass
"""
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "counters.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "counters", "kind": "Counter"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"count": {"type": "integer", "default": 2}},
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}

WHERE = ("example.com", "v1", "default", "counters")

pytestmark = pytest.mark.integration


@pytest.fixture
def counters(kubeherd_factory: Clusters, tmp_path: Path) -> Iterator[client.CustomObjectsApi]:
    """The API of a cluster on which the operator runs."""
    (tmp_path / "counting.py").write_text(OPERATOR)
    with kubeherd_factory(nodes=1, speed=1) as cluster:
        cluster.apply(DEFINITION)
        cluster.wait_for("CustomResourceDefinition", "counters.example.com", established)
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace=default"]
        environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
        process = subprocess.Popen([*command, str(tmp_path / "counting.py")], env=environment)
        config.load_kube_config(str(cluster.kubeconfig))
        yield client.CustomObjectsApi()
        process.terminate()
        process.wait(PATIENCE_S)


def established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def until(
    api: client.CustomObjectsApi, holds: Callable[[dict[str, Any]], bool], since: str
) -> None:
    """Wait for an event after the resourceVersion `since`."""
    listing = api.list_namespaced_custom_object
    patient = {"resource_version": since, "timeout_seconds": int(PATIENCE_S)}
    for event in watch.Watch().stream(listing, *WHERE, **patient):
        if holds(event):
            return
    pytest.fail("the event never came")


def doubled(wanted: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["object"].get("status", {}).get("doubled") == wanted


def test_an_operator_handles_its_own_kind(counters: client.CustomObjectsApi) -> None:
    counter = {"apiVersion": "example.com/v1", "kind": "Counter", "metadata": {"name": "c"}}
    made: Any = counters.create_namespaced_custom_object(*WHERE, counter | {"spec": {}})
    since = made["metadata"]["resourceVersion"]
    until(counters, doubled(4), since)
    counters.patch_namespaced_custom_object(*WHERE, "c", {"spec": {"count": 5}})
    until(counters, doubled(10), since)
    counters.delete_namespaced_custom_object(*WHERE, "c")
    until(counters, lambda event: event["type"] == "DELETED", since)
