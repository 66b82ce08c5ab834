"""Defaults, and the zeros that Go prints, of kinds outside the core group as recorded.

The status is what a new object has whatever was sent: it is compared where Kubernetes keeps one.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds
from kubeherd.cluster.api.defaults import output
from kubeherd.cluster.api.serializer import decoding

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "defaults.json").read_text())["objects"]


def resource_at(path: str) -> kinds.Resource:
    _, _, group, version, *_, plural = path.split("/")
    return kinds.resource(group, version, plural)


@pytest.mark.parametrize("name", RECORDED)
def test_an_object_comes_back_as_from_kubernetes(name: str) -> None:
    case = RECORDED[name]
    resource, tree = resource_at(case["path"]), copy.deepcopy(case["sent"])
    assert decoding.decode(resource, tree) == []
    defaults.apply(resource, tree)
    if resource.subresource("status") is not None:
        tree["status"] = output.zero_status(resource)
    del tree["metadata"]
    assert tree == case["answered"]


@pytest.mark.parametrize("name", RECORDED)
def test_defaults_of_a_defaulted_object_change_nothing(name: str) -> None:
    case = RECORDED[name]
    resource = resource_at(case["path"])
    tree = {**copy.deepcopy(case["answered"]), "metadata": {}}
    defaults.apply(resource, tree)
    assert tree == {**case["answered"], "metadata": {}}


def test_what_an_explicit_strategy_type_keeps() -> None:
    daemon_set = kinds.resource("apps", "v1", "daemonsets")
    tree = {
        "spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"maxUnavailable": 1}}}
    }
    defaults.apply(daemon_set, tree)
    assert tree["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    stateful_set = kinds.resource("apps", "v1", "statefulsets")
    explicit: dict[str, Any] = {"spec": {"updateStrategy": {"type": "RollingUpdate"}}}
    defaults.apply(stateful_set, explicit)
    assert explicit["spec"]["updateStrategy"] == {"type": "RollingUpdate"}


def test_an_autoscaler_gets_the_missing_half_of_its_behavior() -> None:
    resource = kinds.resource("autoscaling", "v2", "horizontalpodautoscalers")
    tree: dict[str, Any] = {"spec": {"behavior": {"scaleDown": {"selectPolicy": "Min"}}}}
    defaults.apply(resource, tree)
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    assert tree["spec"]["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent],
        },
        "scaleDown": {"selectPolicy": "Min", "policies": [percent]},
    }


def test_nested_schemas_of_a_definition_get_their_zeros() -> None:
    resource = kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    inner: dict[str, Any] = {
        "properties": {"a": {"properties": {"b": {"x-kubernetes-validations": [{}]}}}}
    }
    tree: dict[str, Any] = {"spec": {"versions": [{"schema": {"openAPIV3Schema": inner}}]}}
    defaults.apply(resource, tree)
    version = tree["spec"]["versions"][0]
    assert (version["name"], version["served"], version["storage"]) == ("", False, False)
    b = inner["properties"]["a"]["properties"]["b"]
    assert b["x-kubernetes-validations"] == [{"rule": ""}]


def test_a_node_without_a_status_prints_an_empty_system_info() -> None:
    tree: dict[str, Any] = {}
    defaults.apply(kinds.NODES, tree)
    assert tree["status"]["nodeInfo"]["kubeletVersion"] == ""
    assert tree["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
