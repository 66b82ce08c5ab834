"""What Kubernetes warns of; the texts are those of recorded answers of a v1.36.2."""

from typing import Any

import pytest

from kubeherd.cluster.api import warnings


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", **fields}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
         ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when '
          "using apply"]),
        (container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}]), []),
        (container(ports=[{"containerPort": 80, "protocol": "TCP"}] * 2),
         ["spec.containers[0].ports[1]: duplicate port definition with "
          "spec.containers[0].ports[0]"]),
        (container(ports=[{"containerPort": 80, "protocol": "TCP"},
                          {"containerPort": 80, "protocol": "TCP", "hostPort": 80}]),
         ["spec.containers[0].ports[1]: overlapping port definition with "
          "spec.containers[0].ports[0]"]),
        (container(ports=[{"containerPort": 80, "protocol": "TCP", "hostIP": "Always"}]),
         ["spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 "
          "ContainerPort:80 Protocol:TCP HostIP:Always}"]),
        (container(resources={"requests": {"memory": "500m"}}),
         ['spec.containers[0].resources.requests[memory]: fractional byte value "500m" is invalid, '
          "must be an integer"]),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]},
         ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in "
          "matching no pod"]),
        ({"volumes": [{"name": "v", "rbd": {}}]},
         ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"]),
        ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
         ['spec.imagePullSecrets[1].name: duplicate name "a"']),
    ],
)  # fmt: skip
def test_pods(spec: dict[str, Any], expected: list[str]) -> None:
    assert warnings.pod({"metadata": {"name": "p"}, "spec": spec}) == expected


def test_a_name_that_is_no_host_name() -> None:
    (text,) = warnings.pod({"metadata": {"name": "a.b"}, "spec": {}})
    assert text.endswith("a DNS label is recommended: [must not contain dots]")


def test_templates_are_looked_at_where_the_kind_has_them() -> None:
    spec = {"template": {"spec": {"volumes": [{"name": "v", "rbd": {}}]}}}
    look = warnings.of_created("cronjobs.batch")
    assert look is not None
    assert look({"spec": {"jobTemplate": {"spec": spec}}}) == [
        "spec.jobTemplate.spec.template.spec.volumes[0].rbd: deprecated in v1.28, non-functional "
        "in v1.31+"
    ]
    assert warnings.of_created("configmaps") is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "ClusterIP", "trafficDistribution": "PreferClose"},
         ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']),
        ({"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP"},
         ["spec.SessionAffinity is ignored for headless services"]),
        ({"type": "ClusterIP", "externalName": "a.b"},
         ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        ({"type": "NodePort", "sessionAffinity": "None"}, []),
    ],
)  # fmt: skip
def test_services(spec: dict[str, Any], expected: list[str]) -> None:
    assert warnings.service({"spec": spec}) == expected
