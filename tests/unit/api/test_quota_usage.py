"""What objects cost of a quota (Kubernetes v1.36, pkg/quota/v1/evaluator/core)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubeherd.cluster.api.helpers import quota, resources

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def container(name: str = "c", **own: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "resources": own}


def cost(kind: str, tree: dict[str, Any]) -> dict[str, Any]:
    return resources.written(quota.usage(kind, tree, NOW))


def test_a_pod_costs_what_it_asks_for() -> None:
    requests = {"cpu": "500m", "memory": "1Gi", "hugepages-2Mi": "4Mi", "nvidia.com/gpu": "1"}
    one = container(requests=requests, limits={"cpu": "1"})
    tree = pod(one, container("d", requests={"cpu": "500m"}), overhead={"cpu": "100m"})
    assert cost("pods", tree) == {
        "count/pods": "1",
        "cpu": "1100m",
        "hugepages-2Mi": "4Mi",
        "limits.cpu": "1100m",
        "memory": "1Gi",
        "pods": "1",
        "requests.cpu": "1100m",
        "requests.hugepages-2Mi": "4Mi",
        "requests.memory": "1Gi",
        "requests.nvidia.com/gpu": "1",
    }


@pytest.mark.parametrize(
    "over",
    [
        {"status": {"phase": "Failed"}},
        {"status": {"phase": "Succeeded"}},
        {"metadata": {
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30
        }},
    ],
)  # fmt: skip
def test_a_pod_that_is_over_costs_its_count_only(over: dict[str, Any]) -> None:
    assert cost("pods", {**pod(container()), "metadata": {}, **over}) == {"count/pods": "1"}


def test_a_pod_in_its_grace_period_still_costs() -> None:
    meta = {"deletionTimestamp": "2026-01-01T00:00:50Z", "deletionGracePeriodSeconds": 30}
    assert "pods" in cost("pods", {**pod(container()), "metadata": meta})


@pytest.mark.parametrize(
    ("spec", "node_ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False,
          "ports": [{}, {"nodePort": 30000}]}, "1", "1"),
    ],
)  # fmt: skip
def test_services(spec: dict[str, Any], node_ports: str, balancers: str) -> None:
    assert cost("services", {"metadata": {}, "spec": spec}) == {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": balancers,
        "services.nodeports": node_ports,
    }


def test_claims_cost_of_their_class_too() -> None:
    spec = {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "gold"}
    tree = {"metadata": {}, "spec": spec, "status": {"allocatedResources": {"storage": "2Gi"}}}
    assert cost("persistentvolumeclaims", tree) == {
        "count/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
        "persistentvolumeclaims": "1",
        "requests.storage": "2Gi",
    }


def test_claims_of_devices_cost_the_most_that_each_request_may_get() -> None:
    def asked(name: str, mode: str = "ExactCount", count: int = 1) -> dict[str, Any]:
        own = {"count": count} if mode == "ExactCount" else {}
        return {"deviceClassName": name, "allocationMode": mode, **own}

    requests = [
        {"name": "a", "exactly": asked("gold", count=2)},
        {"name": "b", "exactly": asked("silver", "All")},
        {"name": "c", "firstAvailable": [asked("gold"), asked("gold", count=3), asked("tin")]},
        {"name": "d", "exactly": asked("lead", "Later")},
    ]
    tree = {"metadata": {}, "spec": {"devices": {"requests": requests}}}
    assert cost("resourceclaims.resource.k8s.io", tree) == {
        "count/resourceclaims.resource.k8s.io": "1",
        "gold.deviceclass.resource.k8s.io/devices": "5",
        "lead.deviceclass.resource.k8s.io/devices": "0",
        "silver.deviceclass.resource.k8s.io/devices": "32",
        "tin.deviceclass.resource.k8s.io/devices": "1",
    }
    empty = {"count/resourceclaims.resource.k8s.io": "1"}
    assert cost("resourceclaims.resource.k8s.io", {"metadata": {}, "spec": {}}) == empty


def test_other_kinds_are_counted() -> None:
    assert cost("configmaps", {"metadata": {}}) == {"configmaps": "1", "count/configmaps": "1"}
    assert cost("widgets.a.b", {"metadata": {}}) == {"count/widgets.a.b": "1"}


@pytest.mark.parametrize(
    ("kind", "name", "concerns"),
    [
        ("pods", "limits.memory", True),
        ("pods", "requests.example.com/foo", True),
        ("pods", "example.com/foo", False),
        ("pods", "requests.storage", False),
        ("services", "services.nodeports", True),
        ("persistentvolumeclaims", "x.storageclass.storage.k8s.io/requests.storage", True),
        ("resourceclaims.resource.k8s.io", "x.deviceclass.resource.k8s.io/devices", True),
        ("pods", "x.deviceclass.resource.k8s.io/devices", False),
        ("secrets", "secrets", True),
        ("deployments.apps", "deployments.apps", False),
        ("deployments.apps", "count/deployments.apps", True),
    ],
)
def test_which_limits_concern_a_kind(kind: str, name: str, concerns: bool) -> None:
    assert quota.limited(kind, [name, "other"]) == ([name] if concerns else [])


def scoped(name: str, operator: str, *values: str) -> dict[str, Any]:
    requirement = {"scopeName": name, "operator": operator, "values": list(values)}
    return {"scopeSelector": {"matchExpressions": [requirement]}}


AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
    {"topologyKey": "k", "namespaces": ["other"]},
]}}  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "tree", "selected"),
    [
        ({}, pod(container()), True),
        ({"scopes": ["BestEffort"]}, pod(container()), True),
        ({"scopes": ["BestEffort"]}, pod(container(requests={"cpu": "1"})), False),
        ({"scopes": ["NotBestEffort"]}, pod(container(requests={"cpu": "1"})), True),
        ({"scopes": ["Terminating"]}, pod(container(), activeDeadlineSeconds=0), True),
        ({"scopes": ["Terminating", "NotTerminating"]}, pod(container()), False),
        ({"scopes": ["PriorityClass"]}, pod(container(), priorityClassName="p"), True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, pod(container(), affinity=AFFINITY), True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, pod(container()), False),
        (scoped("PriorityClass", "In", "a", "b"), pod(container(), priorityClassName="b"), True),
        (scoped("PriorityClass", "In", "a"), pod(container()), False),
        (scoped("PriorityClass", "NotIn", "a"), pod(container(), priorityClassName="a"), False),
        (scoped("PriorityClass", "NotIn", "a"), pod(container()), True),
        (scoped("PriorityClass", "DoesNotExist"), pod(container()), True),
    ],
)
def test_scopes(spec: dict[str, Any], tree: dict[str, Any], selected: bool) -> None:
    assert quota.selects(spec, "pods", tree) is selected


def test_other_kinds_are_in_no_scope() -> None:
    assert quota.selects({}, "configmaps", {})
    assert not quota.selects({"scopes": ["NotBestEffort"]}, "configmaps", {})
    claim = {"spec": {"volumeAttributesClassName": "gold"}}
    gold = scoped("VolumeAttributesClass", "In", "gold")
    assert quota.selects(gold, "persistentvolumeclaims", claim)
    assert not quota.selects(gold, "persistentvolumeclaims", {"spec": {}})


def test_what_containers_leave_out() -> None:
    names = ["limits.cpu", "memory", "requests.storage", "limits.ephemeral-storage"]
    tree = pod(container("a", limits={"cpu": "1"}), container("b"))
    assert quota.missing(names, tree) == "must specify limits.cpu for: b; memory for: a,b"
    whole = pod(container("a"), resources={"requests": {"cpu": "1"}})
    assert quota.missing(names, whole) == ""
    assert quota.missing(["pods"], tree) == ""
