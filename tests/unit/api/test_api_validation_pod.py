"""Pods: a row per rule, with the field and the words of Kubernetes."""

import copy
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, errors, kinds, validation
from kubeherd.cluster.api.validation.pods.pod_spec import pod_spec


def pod(**spec: Any) -> dict[str, Any]:
    spec.setdefault("containers", [{"name": "c", "image": "i:1"}])
    tree: dict[str, Any] = {
        "metadata": {"name": "p", "namespace": "default", "resourceVersion": "1"},
        "spec": spec,
    }
    defaults.apply(kinds.PODS, tree)
    return tree


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "i:1", **fields}])


def create(tree: dict[str, Any]) -> list[str]:
    return shown(validation.create(kinds.PODS, tree))


def shown(causes: list[errors.Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


def node_affinity(**requirement: Any) -> dict[str, Any]:
    key = "matchFields" if requirement.get("key") == "metadata.name" else "matchExpressions"
    term = {requirement.pop("at", key): [requirement]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pod(affinity={"nodeAffinity": required})


C = "spec.containers[0]"
TERM = (
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
)


@pytest.mark.parametrize(
    "tree",
    [
        pod(),
        container(ports=[{"containerPort": 80, "name": "http"}], env=[{"name": "A", "value": "b"}]),
        pod(tolerations=[{"operator": "Exists"}, {"key": "a", "effect": "NoExecute",
                                                   "tolerationSeconds": 5}]),
        node_affinity(key="metadata.name", operator="In", values=["n"]),
        node_affinity(key="a/b", operator="Exists"),
        pod(volumes=[{"name": "v"}], containers=[
            {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]),
        pod(hostNetwork=True, containers=[
            {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]),
        pod(initContainers=[{"name": "i", "image": "i", "restartPolicy": "Always",
                             "readinessProbe": {"exec": {"command": ["x"]}}}]),
        container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}),
    ],
)  # fmt: skip
def test_good_pods_have_no_causes(tree: dict[str, Any]) -> None:
    assert create(tree) == []


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (pod(containers=[]), "spec.containers: Required value"),
        (container(name=""), f"{C}.name: Required value"),
        (container(name="a.b"), f'{C}.name: Invalid value: "a.b": must not contain dots'),
        (container(image=""), f"{C}.image: Required value"),
        (container(image=" i"),
         f'{C}.image: Invalid value: " i": must not have leading or trailing whitespace'),
        (container(imagePullPolicy="Maybe"),
         f'{C}.imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", '
         '"IfNotPresent", "Never"'),
        (pod(containers=[{"name": "c", "image": "i"}] * 2),
         'spec.containers[1].name: Duplicate value: "c"'),
        (container(ports=[{}]), f"{C}.ports[0].containerPort: Required value"),
        (container(ports=[{"containerPort": 70000}]),
         f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, "
         "inclusive"),
        (container(ports=[{"containerPort": 1, "protocol": "X"}]),
         f'{C}.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'),
        (container(ports=[{"containerPort": 1, "hostPort": 9},
                          {"containerPort": 2, "hostPort": 9}]),
         f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'),
        (pod(hostNetwork=True, containers=[
            {"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]),
         f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when "
         "`hostNetwork` is true"),
        (container(volumeMounts=[{"name": "x", "mountPath": "/x"}]),
         f'{C}.volumeMounts[0].name: Not found: "x"'),
        (pod(restartPolicy="Maybe"),
         'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", '
         '"OnFailure", "Never"'),
        (pod(activeDeadlineSeconds=0),
         "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
         "inclusive"),
        (pod(tolerations=[{"value": "x"}]),
         'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is '
         'empty, which means "match all values and all keys"'),
        (pod(tolerations=[{"key": "a", "tolerationSeconds": 1, "effect": "NoSchedule"}]),
         'spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' '
         "when `tolerationSeconds` is set"),
        (pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
         'spec.tolerations[0].operator: Invalid value: "x"'
         ": value must be empty when `operator` is 'Exists'"),
        (pod(tolerations=[{"key": "a", "effect": "Never"}]),
         'spec.tolerations[0].effect: Unsupported value: "Never": supported values: '
         '"NoSchedule", "PreferNoSchedule", "NoExecute"'),
        (node_affinity(key="a", operator="In"),
         f"{TERM}.matchExpressions[0].values: Required value: must be specified when `operator` "
         "is 'In' or 'NotIn'"),
        (node_affinity(key="a", operator="Exists", values=["x"]),
         f"{TERM}.matchExpressions[0].values: Forbidden: may not be specified when `operator` is "
         "'Exists' or 'DoesNotExist'"),
        (node_affinity(key="a", operator="Gt", values=["1", "2"]),
         f"{TERM}.matchExpressions[0].values: Required value: must be specified single value when "
         "`operator` is 'Lt' or 'Gt'"),
        (node_affinity(key="a", operator="Near"),
         f'{TERM}.matchExpressions[0].operator: Invalid value: "Near": not a valid selector '
         "operator"),
        (node_affinity(key="metadata.name", operator="In", values=["a", "b"]),
         f"{TERM}.matchFields[0].values: Required value: must be only one value when `operator` "
         "is 'In' or 'NotIn' for node field selector"),
        (node_affinity(key="metadata.uid", operator="In", values=["a"], at="matchFields"),
         f'{TERM}.matchFields[0].key: Invalid value: "metadata.uid": not a valid field selector '
         "key"),
        (pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
         TERM.removesuffix("[0]") + ": Required value: must have at least one node selector term"),
        (container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
         f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of '
         "1"),
        (container(resources={"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}}),
         f'{C}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
        (container(resources={"limits": {"gpu": "1"}, "requests": {"gpu": "1"}}),
         f'{C}.resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type '
         "or fully qualified"),
        (container(env=[{"name": "A", "valueFrom": {}}]),
         f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
         "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"),
        (container(env=[{"name": "A", "value": "x", "valueFrom": {
            "configMapKeyRef": {"name": "m", "key": "k"}}}]),
         f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not '
         "empty"),
        (container(env=[{"name": ""}]), f"{C}.env[0].name: Required value"),
        (container(livenessProbe={}),
         f"{C}.livenessProbe: Required value: must specify a handler type"),
        (container(livenessProbe={"exec": {"command": ["x"]}, "successThreshold": 2}),
         f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        (container(readinessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
         f"{C}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
        (container(lifecycle={"preStop": {"exec": {}}}),
         f"{C}.lifecycle.preStop.exec.command: Required value"),
        (pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
         "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
        (pod(volumes=[{"name": "v"}, {"name": "v"}]),
         'spec.volumes[1].name: Duplicate value: "v"'),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/a/../b"}}]),
         'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\''),
        (pod(volumes=[{"name": "v", "secret": {}}]),
         "spec.volumes[0].secret.secretName: Required value"),
        (pod(volumes=[{"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}]),
         "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and "
         "0777 (octal), both inclusive"),
        (pod(dnsPolicy="None"),
         "spec.dnsConfig: Required value: must provide at least one DNS nameserver when "
         "`dnsPolicy` is None"),
        (pod(topologySpreadConstraints=[
            {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
         "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than 0"),
        (pod(initContainers=[{"name": "i", "image": "i", "livenessProbe": {}}]),
         "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
         "without restartPolicy=Always"),
        (pod(nodeName="n", schedulingGates=[{"name": "g"}]),
         "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
        (pod(shareProcessNamespace=True, hostPID=True),
         "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace "
         "and HostPID cannot both be enabled"),
        (container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
         f'{C}.securityContext: Invalid value: {{"privileged":true,'
         '"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and '
         "`privileged` to true"),
    ],
)  # fmt: skip
def test_what_is_refused_in_a_pod(tree: dict[str, Any], problem: str) -> None:
    assert create(tree)[0] == problem


def test_a_mount_path_is_used_once() -> None:
    mounts = [{"name": "v", "mountPath": "/x"}] * 2
    tree = pod(
        volumes=[{"name": "v"}],
        containers=[{"name": "c", "image": "i", "volumeMounts": mounts}],
    )
    assert create(tree) == [f'{C}.volumeMounts[1].mountPath: Invalid value: "/x": must be unique']


def update(change: dict[str, Any], **spec: Any) -> list[str]:
    old = pod(**spec)
    new = copy.deepcopy(old)
    new["spec"] |= change
    return shown(validation.update(kinds.PODS, new, old))


def test_what_may_change() -> None:
    tolerate = [{"key": "a", "operator": "Exists", "effect": "NoExecute"}]
    assert update({"tolerations": [*tolerate, {"operator": "Exists"}]}, tolerations=tolerate) == []
    assert update({"tolerations": [tolerate[0] | {"tolerationSeconds": 3}]},
                  tolerations=tolerate) == []  # fmt: skip
    assert update({"activeDeadlineSeconds": 5}) == []
    assert update({"activeDeadlineSeconds": 5}, activeDeadlineSeconds=9) == []
    assert update({"terminationGracePeriodSeconds": 1}, terminationGracePeriodSeconds=-1) == []
    image = [dict(pod()["spec"]["containers"][0], image="i:2")]
    assert update({"containers": image}) == []


FIXED = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)\n"
)


def test_what_may_not_change() -> None:
    (problem,) = update({"nodeName": "n"})
    assert problem.startswith(FIXED)
    before, after = '- "NodeName": "",', '+ "NodeName": "n",'
    assert f"\n{before}\n{after}\n" in problem
    assert update({"tolerations": []}, tolerations=[{"operator": "Exists"}]) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its "
        "tolerationSeconds"
    ]
    assert update({"activeDeadlineSeconds": 9}, activeDeadlineSeconds=5) == [
        "spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value"
    ]
    second = [*pod()["spec"]["containers"], dict(pod()["spec"]["containers"][0], name="d")]
    assert update({"containers": second}) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_status_of_a_container_that_ended_for_good() -> None:
    old = pod(restartPolicy="Never")
    old["status"] = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}
    new = copy.deepcopy(old)
    new["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert shown(validation.update(kinds.PODS, new, old, "status")) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated "
        "state"
    ]
    old["spec"]["restartPolicy"] = new["spec"]["restartPolicy"] = "Always"
    assert validation.update(kinds.PODS, new, old, "status") == []


def test_ephemeral_containers_are_only_added() -> None:
    old = pod()
    old["spec"]["ephemeralContainers"] = [{"name": "e", "image": "i"}]
    defaults.apply(kinds.PODS, old)
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"].append({"name": "f", "image": "i"})
    defaults.apply(kinds.PODS, new)
    assert validation.update(kinds.PODS, new, old, "ephemeralcontainers") == []
    assert shown(validation.update(kinds.PODS, old, new, "ephemeralcontainers")) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "f" may not be '
        "removed\n"
    ]


def mounting(volume: str, mounted: str, **spec: Any) -> list[str]:
    mounts = [{"name": mounted, "mountPath": "/m"}]
    volumes = [{"name": volume, "emptyDir": {}}]
    containers = [{"name": "c", "image": "i:1", "volumeMounts": mounts}]
    return create(pod(containers=containers, volumes=volumes, **spec))


def test_pods_of_one_workload_are_told_from_those_that_only_look_like_them() -> None:
    """What was found right is remembered without the name of the volume with the token."""
    assert mounting("kube-api-access-aaaaa", "kube-api-access-aaaaa") == []
    assert mounting("kube-api-access-bbbbb", "kube-api-access-bbbbb") == []
    for volume, mounted in (
        ("kube-api-access-aaaaa", "kube-api-access-bbbbb"),
        ("kube-api-access-bbbbb", "kube-api-access-aaaaa"),
        ("kube-api-access-aaaaa", "other"),
    ):
        found = mounting(volume, mounted)
        assert found == [f'{C}.volumeMounts[0].name: Not found: "{mounted}"']
    nowhere: dict[str, Any] = {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}
    }
    assert mounting("kube-api-access-aaaaa", "kube-api-access-aaaaa", affinity=nowhere) != []


def test_what_only_a_template_may_not_be() -> None:
    port = {"containerPort": 80, "protocol": "TCP"}
    tree = pod(containers=[{"name": "c", "image": "i:1", "ports": [port]}], hostNetwork=True)
    del tree["spec"]["containers"][0]["ports"][0]["hostPort"]
    right_in_templates = pod_spec(tree["spec"], "spec", template=True)
    assert right_in_templates == []
    (cause,) = pod_spec(tree["spec"], "spec")
    assert cause.field == f"{C}.ports[0].hostPort"
