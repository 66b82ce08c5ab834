"""Nodes, configuration, events, leases, policy, RBAC, and kinds with only their schema."""

from typing import Any

import pytest

from kubeherd.cluster.api import defaults, errors, kinds, validation


def resource(plural: str, group: str = "") -> kinds.Resource:
    return kinds.resource(group, "v1", plural)


def tree_of(which: kinds.Resource, **fields: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {"metadata": {"name": "x", "resourceVersion": "1"}, **fields}
    if which.namespaced:
        tree["metadata"].setdefault("namespace", "default")
    defaults.apply(which, tree)
    return tree


def shown(causes: list[errors.Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


RBAC = "rbac.authorization.k8s.io"
ROLE = {"apiGroup": RBAC, "kind": "Role", "name": "r"}
TAINT = {"key": "a", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("which", "fields", "problems"),
    [
        (kinds.NODES, {"spec": {"taints": [TAINT]}}, []),
        (kinds.NODES, {"spec": {"taints": [TAINT, TAINT]}},
         ['metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule",'
          '"TimeAdded":null}: taints must be '
          "unique by key and effect pair"]),
        (kinds.NODES, {"spec": {"taints": [{"key": "a", "effect": "x"}]}},
         ['metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", '
          '"PreferNoSchedule", "NoExecute"']),
        (kinds.NODES, {"status": {"capacity": {"cpu": "-1"}}},
         [f'status.{name}.cpu: Invalid value: "-1": must be greater than or equal to 0'
          for name in ("capacity", "allocatable")]),
        (kinds.LEASES, {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}},
         ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
          "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"]),
        (kinds.EVENTS, {"involvedObject": {"namespace": "default"}}, []),
        (kinds.EVENTS, {"involvedObject": {}}, []),
        (kinds.EVENTS, {"involvedObject": {"namespace": "other"}},
         ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']),
        (kinds.EVENTS_V1, {"regarding": {}, "eventTime": "2026-01-01T00:00:00.000000Z",
                           "type": "Normal"},
         ["reportingController: Required value",
          'reportingController: Invalid value: "": name part must be non-empty',
          'reportingController: Invalid value: "": name part must consist of alphanumeric '
          "characters, '-', '_' or '.', and must start and end with an alphanumeric character "
          "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
          "reportingInstance: Required value", "action: Required value",
          "reason: Required value"]),
        (kinds.CONFIGMAPS, {"data": {"a": "b"}, "binaryData": {"c": "AA=="}}, []),
        (kinds.CONFIGMAPS, {"data": {"a": "b"}, "binaryData": {"a": "AA=="}},
         ['data[a]: Invalid value: "a": duplicate of key present in binaryData']),
        (kinds.CONFIGMAPS, {"data": {"a": "b" * 1048577}},
         ["[]: Too long: may not be more than 1048576 bytes"]),
        (kinds.SECRETS, {"type": "kubernetes.io/tls"},
         ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (kinds.SECRETS, {"type": "kubernetes.io/basic-auth", "data": {"password": ""}}, []),
        (kinds.SECRETS, {"type": "kubernetes.io/dockerconfigjson",
                         "data": {".dockerconfigjson": "e30="}}, []),
        (kinds.SECRETS, {"type": "kubernetes.io/dockerconfigjson",
                         "data": {".dockerconfigjson": "AAAA"}},
         ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid JSON']),
        (kinds.PRIORITYCLASSES, {"value": 10**9 + 1},
         ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
        (kinds.PODDISRUPTIONBUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": "x"}},
         ['spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":"x",'
          '"UnhealthyPodEvictionPolicy":null}: minAvailable and '
          "maxUnavailable cannot be both set",
          'spec.maxUnavailable: Invalid value: "x": a valid percent string must be a numeric '
          "string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is "
          "'[0-9]+%')"]),
        (resource("roles", RBAC), {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
         ["rules[0].verbs: Required value: verbs must contain at least one value"]),
        (resource("roles", RBAC), {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
         ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to '
          "non-resource URLs"]),
        (resource("rolebindings", RBAC), {"roleRef": ROLE, "subjects": [
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
            {"kind": "User", "name": "u"}]}, []),
        (resource("rolebindings", RBAC), {"roleRef": {"kind": "Pod", "name": "r"}},
         ['roleRef.kind: Unsupported value: "Pod": supported values: "Role", "ClusterRole"']),
        (resource("clusterrolebindings", RBAC), {"roleRef": ROLE, "subjects": [{"kind": "User"}]},
         ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
          "subjects[0].name: Required value"]),
        (resource("resourcequotas"), {"spec": {"hard": {"pods": "-1"}, "scopes": ["x"]}},
         ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0',
          'spec.scopes: Invalid value: ["x"]: unsupported scope']),
        (resource("services"), {"spec": {}}, ["spec.ports: Required value"]),
        (kinds.SERVICEACCOUNTS, {"secrets": [{"name": "s"}]}, []),
        (resource("ingresses", "networking.k8s.io"), {"spec": {"defaultBackend": {"service": {}}}},
         ["spec.defaultBackend.service.name: Required value",
          "spec.defaultBackend: Required value: port name or number is required"]),
        (resource("storageclasses", "storage.k8s.io"), {}, ["provisioner: Required value"]),
    ],
)  # fmt: skip
def test_what_is_refused_on_create(
    which: kinds.Resource, fields: dict[str, Any], problems: list[str]
) -> None:
    assert shown(validation.create(which, tree_of(which, **fields))) == problems


@pytest.mark.parametrize(
    ("which", "old", "new", "problems"),
    [
        (kinds.NODES, {"spec": {"podCIDR": "10.0.0.0/24", "providerID": "a"}}, {"spec": {}},
         ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
          'spec.providerID: Forbidden: node updates may not change providerID except from "" to '
          "valid"]),
        (kinds.CONFIGMAPS, {"immutable": True, "data": {"a": "b"}}, {"data": {"a": "c"}},
         ["immutable: Forbidden: field is immutable when `immutable` is set",
          "data: Forbidden: field is immutable when `immutable` is set"]),
        (kinds.SECRETS, {"type": "a"}, {"type": "b"},
         ['type: Invalid value: "b": field is immutable']),
        (kinds.PRIORITYCLASSES, {"value": 1}, {"value": 2},
         ["value: Forbidden: may not be changed in an update."]),
        (resource("rolebindings", RBAC), {"roleRef": ROLE}, {"roleRef": {**ROLE, "name": "s"}},
         [f'roleRef: Invalid value: {{"APIGroup":"{RBAC}","Kind":"Role","Name":"s"}}: cannot '
          "change roleRef"]),
        (kinds.LEASES, {"spec": {}}, {"spec": {"leaseDurationSeconds": -1}},
         ["spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0"]),
    ],
)  # fmt: skip
def test_what_is_refused_on_update(
    which: kinds.Resource, old: dict[str, Any], new: dict[str, Any], problems: list[str]
) -> None:
    before, after = tree_of(which, **old), tree_of(which, **new)
    assert shown(validation.update(which, after, before)) == problems
    assert validation.update(which, before, before) == []


def workload(plural: str, group: str, **spec: Any) -> tuple[kinds.Resource, dict[str, Any]]:
    which = resource(plural, group)
    labels = {"a": "b"}
    template: dict[str, Any] = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec.setdefault("selector", {"matchLabels": dict(labels)})
    if group == "batch":
        spec["manualSelector"] = True
        template["spec"]["restartPolicy"] = "Never"
    return which, tree_of(which, spec={"template": template, **spec})


@pytest.mark.parametrize(
    ("plural", "group", "spec", "problems"),
    [
        ("deployments", "apps", {}, []),
        ("replicasets", "apps", {}, []),
        ("statefulsets", "apps", {}, []),
        ("jobs", "batch", {}, []),
        ("deployments", "apps", {"selector": None},
         ["spec.selector: Required value",
          'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match '
          "template `labels`"]),
        ("deployments", "apps", {"replicas": -1},
         ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        ("deployments", "apps", {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
         ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
          "'Recreate'"]),
        ("deployments", "apps", {"strategy": {"rollingUpdate": {"maxUnavailable": 0,
                                                                "maxSurge": 0}}},
         ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
          "`maxSurge` is 0"]),
        ("jobs", "batch", {"backoffLimit": -1},
         ["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)  # fmt: skip
def test_refused_specs_of_workloads(
    plural: str, group: str, spec: dict[str, Any], problems: list[str]
) -> None:
    which, tree = workload(plural, group, **spec)
    assert shown(validation.create(which, tree)) == problems


@pytest.mark.parametrize("which", kinds.ALL, ids=lambda which: which.group_resource)
def test_an_empty_object_of_any_kind_is_validated_and_each_cause_names_a_field(
    which: kinds.Resource,
) -> None:
    tree = tree_of(which)
    causes = [
        *validation.create(which, tree),
        *validation.update(which, tree, tree),
        *validation.update(which, tree, tree, "status"),
    ]
    assert all(cause.field and cause.message for cause in causes)
