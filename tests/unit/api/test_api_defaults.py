"""Defaults, as a Kubernetes 1.36 control plane wrote them into recorded objects."""

import copy
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds
from kubeherd.cluster.api.defaults.images import pull_policy
from kubeherd.cluster.api.helpers import qos

TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {
        "containers": [{"name": "c", "image": "busybox:1"}],
        "volumes": [{"name": "v", "hostPath": {"path": "/var/log"}}],
    },
}
DEFAULTED_TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "busybox:1",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "volumes": [{"name": "v", "hostPath": {"path": "/var/log", "type": ""}}],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    },
}


def defaulted(resource: kinds.Resource, **tree: Any) -> dict[str, Any]:
    own: dict[str, Any] = copy.deepcopy(tree)
    own.setdefault("metadata", {"name": "x"})
    defaults.apply(resource, own)
    once = copy.deepcopy(own)
    defaults.apply(resource, own)
    assert own == once, "defaulting is idempotent"
    return own


def pod_spec(**spec: Any) -> dict[str, Any]:
    spec.setdefault("containers", [{"name": "c", "image": "i:1"}])
    found: dict[str, Any] = defaulted(kinds.PODS, spec=spec)["spec"]
    return found


def test_defaults_of_a_daemon_set() -> None:
    tree = defaulted(kinds.DAEMONSETS, spec={"template": TEMPLATE})
    assert tree["spec"] == {
        "template": DEFAULTED_TEMPLATE,
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        },
        "revisionHistoryLimit": 10,
    }
    assert tree["status"] == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


def test_daemon_set_keeps_what_is_set() -> None:
    given = {"type": "OnDelete"}
    spec = {"template": TEMPLATE, "updateStrategy": given, "revisionHistoryLimit": 0}
    tree = defaulted(kinds.DAEMONSETS, spec=spec)
    assert tree["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert tree["spec"]["revisionHistoryLimit"] == 0
    surge = {"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}
    tree = defaulted(kinds.DAEMONSETS, spec={"template": TEMPLATE, "updateStrategy": surge})
    assert tree["spec"]["updateStrategy"]["rollingUpdate"] == surge["rollingUpdate"]


@pytest.mark.parametrize(
    ("plural", "group", "path"),
    [
        ("deployments", "apps", ("spec", "template")),
        ("replicasets", "apps", ("spec", "template")),
        ("statefulsets", "apps", ("spec", "template")),
        ("jobs", "batch", ("spec", "template")),
        ("cronjobs", "batch", ("spec", "jobTemplate", "spec", "template")),
        ("replicationcontrollers", "", ("spec", "template")),
        ("podtemplates", "", ("template",)),
    ],
)
def test_every_template_is_defaulted(plural: str, group: str, path: tuple[str, ...]) -> None:
    tree: Any = copy.deepcopy(TEMPLATE)
    for part in reversed(path):
        tree = {part: tree}
    found: Any = defaulted(kinds.resource(group, "v1", plural), **tree)
    for part in path:
        found = found[part]
    assert found == DEFAULTED_TEMPLATE


def test_defaults_of_a_deployment() -> None:
    spec = defaulted(kinds.resource("apps", "v1", "deployments"), spec={"template": TEMPLATE})[
        "spec"
    ]
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["progressDeadlineSeconds"] == 600


def test_pods_have_more_defaults_than_templates() -> None:
    spec = pod_spec()
    assert spec["enableServiceLinks"] is True
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    spec = pod_spec(containers=[{"name": "c", "image": "i:1", "resources": resources}])
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    ports = [{"containerPort": 80}]
    spec = pod_spec(hostNetwork=True, containers=[{"name": "c", "image": "i:1", "ports": ports}])
    assert spec["containers"][0]["ports"] == [
        {"containerPort": 80, "hostPort": 80, "protocol": "TCP"}
    ]


def test_service_account_is_mirrored() -> None:
    assert pod_spec(serviceAccountName="x")["serviceAccount"] == "x"
    assert pod_spec(serviceAccount="y")["serviceAccountName"] == "y"


def test_probes_and_sources() -> None:
    container = {
        "name": "c", "image": "i:1", "livenessProbe": {"httpGet": {"port": 80}},
        "readinessProbe": {"grpc": {"port": 1}, "periodSeconds": 3},
        "env": [{"name": "n", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
    }  # fmt: skip
    found = pod_spec(containers=[container])["containers"][0]
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip
    assert found["readinessProbe"]["periodSeconds"] == 3
    assert found["readinessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"


def test_defaults_of_volumes() -> None:
    given: list[dict[str, Any]] = [
        {"name": "a"},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "c", "configMap": {"name": "m", "defaultMode": 0}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    assert pod_spec(volumes=given)["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "c", "configMap": {"name": "m", "defaultMode": 0}},
        {
            "name": "d",
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            },
        },
    ]


def test_quantities_are_rounded_up_to_a_thousandth() -> None:
    limits = {"cpu": "100u", "memory": "1Gi"}
    spec = pod_spec(containers=[{"name": "c", "image": "i:1", "resources": {"limits": limits}}])
    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "1m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"), ("busybox:latest", "Always"), ("busybox:1", "IfNotPresent"),
        ("host:5000/busybox", "Always"), ("host:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:" + "a" * 64, "IfNotPresent"), ("busybox@sha256:abc", "IfNotPresent"),
        ("busybox:latest@sha256:" + "a" * 64, "Always"), ("BusyBox", "IfNotPresent"),
        ("../x", "IfNotPresent"), ("Registry/busybox", "Always"), (" busybox", "IfNotPresent"),
        ("localhost:5000/a/b", "Always"), ("a" * 64, "IfNotPresent"),
    ],
)  # fmt: skip
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_defaults_of_other_kinds() -> None:
    node = defaulted(kinds.NODES, status={"capacity": {"cpu": "1"}})
    assert node["status"]["allocatable"] == {"cpu": "1"}
    namespace = defaulted(kinds.NAMESPACES, metadata={"name": "team"})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    secret = defaulted(kinds.SECRETS, stringData={"a": "b"})
    assert secret["type"] == "Opaque"
    assert secret["data"] == {"a": "Yg=="}
    assert "stringData" not in secret
    service = defaulted(kinds.resource("", "v1", "services"), spec={"ports": [{"port": 80}]})
    assert service["spec"] == {
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    }  # fmt: skip


def test_times_and_zeros_that_kubernetes_always_prints() -> None:
    pod = defaulted(
        kinds.PODS,
        spec={"containers": []},
        status={"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{}]},
    )
    assert pod["status"]["conditions"][0]["lastProbeTime"] is None
    assert pod["status"]["containerStatuses"][0] == {
        "name": "", "state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "",
        "imageID": "",
    }  # fmt: skip
    event = defaulted(kinds.EVENTS, reason="x")
    assert event["eventTime"] is None
    assert event["reportingComponent"] == ""


def test_two_objects_share_nothing() -> None:
    first, second = defaulted(kinds.DAEMONSETS), defaulted(kinds.DAEMONSETS)
    first["status"]["numberReady"] = 7
    assert second["status"]["numberReady"] == 0


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1024Mi"}}],
         "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}],
         "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"example.com/gpu": "1"}}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ],
)  # fmt: skip
def test_the_qos_class_follows_the_resources(
    resources: list[dict[str, Any]], expected: str
) -> None:
    containers = [{"name": str(i), "resources": item} for i, item in enumerate(resources)]
    assert qos.qos_class({"spec": {"containers": containers}}) == expected


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"podIP": "10.0.0.1"},
        {"podIPs": [{"ip": "10.0.0.1"}]},
        {"conditions": [{"type": "Ready", "status": "True"}]},
        {"containerStatuses": [{"name": "c", "state": {"running": {}}}]},
    ],
)
@pytest.mark.parametrize("resource", [kinds.PODS, kinds.NODES])
def test_a_status_alone_gets_the_defaults_of_a_whole_object(
    resource: kinds.Resource, status: dict[str, Any]
) -> None:
    for metadata in ({}, {"metadata": {"name": "x", "ownerReferences": [{"name": "o"}]}}):
        tree = {**copy.deepcopy(metadata), "status": copy.deepcopy(status)}
        whole = copy.deepcopy(tree)
        defaults.apply_to_status(resource, tree)
        defaults.apply(resource, whole)
        assert (tree["metadata"], tree["status"]) == (whole["metadata"], whole["status"])
