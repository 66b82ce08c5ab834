"""What is warned of when pods are made (recorded from v1.36.2, and pkg/api/pod/warnings.go)."""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.warnings import of_created

JOBS = kinds.resource("batch", "v1", "jobs")


def of(resource: Resource, tree: JsonObject) -> list[str]:
    warned = of_created(resource.group_resource)
    return warned(tree) if warned is not None else []


def warnings(spec: dict[str, Any]) -> list[str]:
    return of(kinds.PODS, {"metadata": {"name": "p"}, "spec": spec})


def with_ports(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [{"name": "c", "ports": list(ports)}]}


def with_env(*values: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [{"name": "c", "env": [{"name": "A", **value} for value in values]}]}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            with_env({"value": "b"}, {"value": "b"}),
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped '
            "when using apply",
        ),
        (
            with_ports(
                {"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}
            ),
            "spec.containers[0].ports[1]: duplicate port definition with "
            "spec.containers[0].ports[0]",
        ),
        (
            with_ports(
                {"containerPort": 80, "protocol": "TCP"},
                {"containerPort": 80, "protocol": "TCP", "hostPort": 8080},
            ),
            "spec.containers[0].ports[1]: overlapping port definition with "
            "spec.containers[0].ports[0]",
        ),
        (
            with_ports({"containerPort": 80, "protocol": "TCP", "hostIP": "Always"}),
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 "
            "ContainerPort:80 Protocol:TCP HostIP:Always}",
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "k"}]},
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in "
            "matching no pod",
        ),
        (
            {"containers": [{"name": "c", "resources": {"requests": {"memory": "100m"}}}]},
            'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is '
            "invalid, must be an integer",
        ),
    ],
)
def test_what_is_odd_is_told(spec: dict[str, Any], found: str) -> None:
    assert warnings(spec) == [found]


@pytest.mark.parametrize(
    "spec",
    [
        with_env({"value": "b"}, {"value": "$(A)c"}),
        with_ports({"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80}),
        {},
    ],
)
def test_what_is_common_is_not(spec: dict[str, Any]) -> None:
    assert warnings(spec) == []


def test_templates_are_looked_at_where_they_are() -> None:
    template = {"spec": with_env({"value": "b"}, {"value": "c"})}
    found = of(JOBS, {"metadata": {"name": "j"}, "spec": {"template": template}})
    assert [text.partition(":")[0] for text in found] == ["spec.template.spec.containers[0].env[1]"]
    assert of(kinds.NODES, {"metadata": {"name": "n"}, "spec": {}}) == []
