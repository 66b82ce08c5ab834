"""Tables: columns, cells and what rows carry (spec api-machinery, 15)."""

import json
from pathlib import Path
from typing import Any

import pytest
from tablecells import BY_NAME, NOW, ago, cells, condition, pod

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver import tables

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "tables.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_tables_are_those_of_kubernetes(name: str) -> None:
    recorded = RECORDED[name]
    expected = recorded["table"]
    found = tables.table(BY_NAME[name], [recorded["object"]], now=parse_time(recorded["now"]))
    for mine, theirs in zip(found["columnDefinitions"], expected["columnDefinitions"], strict=True):
        assert {**mine, "description": ""} == {**theirs, "description": ""}
        assert mine["description"]
    object_name = recorded["object"]["metadata"]["name"]
    theirs = next(r for r in expected["rows"] if r["cells"][0] == object_name)
    assert found["rows"][0]["cells"] == theirs["cells"]
    assert found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert list(found) == list(expected)


@pytest.mark.parametrize("resource", kinds.ALL, ids=lambda r: f"{r.api_version}/{r.plural}")
def test_printers_cope_with_empty_objects(resource: kinds.Resource) -> None:
    row = tables.row(resource, {"kind": resource.kind, "metadata": {"name": "x"}}, NOW)
    assert len(row) == len(tables.columns(resource))
    assert all(isinstance(cell, str | int | bool) for cell in row)
    assert sum(column["format"] == "name" for column in tables.columns(resource)) >= 1


def test_a_node_shows_roles_and_addresses() -> None:
    tree = {
        "metadata": {
            "labels": {
                "node-role.kubernetes.io/worker": "",
                "node-role.kubernetes.io/control-plane": "",
                "kubernetes.io/role": "old",
            }
        },
        "status": {"conditions": [condition("Ready", "Unknown")]},
    }
    found = cells("nodes", tree)
    assert found["Roles"] == "control-plane,old,worker"
    assert found["Status"] == "NotReady"
    assert found["Internal-IP"] == "<none>"
    assert found["OS-Image"] == "<unknown>"
    assert found["Age"] == "<unknown>"
    assert cells("nodes", {"spec": {"unschedulable": True}})["Status"] == (
        "Unknown,SchedulingDisabled"
    )


def test_an_event_shows_source_and_ages() -> None:
    tree = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "kubelet", "host": "n1"},
        "message": " text\n",
        "firstTimestamp": ago(600),
        "lastTimestamp": ago(30),
    }
    found = cells("events", tree)
    assert found["Last Seen"] == "30s"
    assert found["First Seen"] == "10m"
    assert found["Object"] == "pod/p"
    assert found["Source"] == "kubelet, n1"
    assert found["Message"] == "text"
    assert found["Count"] == 1
    newer = {
        "eventTime": ago(20),
        "series": {"count": 4, "lastObservedTime": ago(5)},
        "regarding": {"kind": "Node", "name": "n"},
        "reportingController": "c",
        "note": "x",
    }
    found = cells("events.events.k8s.io", newer)
    assert (found["Last Seen"], found["First Seen"], found["Count"]) == ("5s", "20s", 4)
    assert (found["Object"], found["Source"], found["Message"]) == ("node/n", "c", "x")


@pytest.mark.parametrize(
    ("name", "tree", "expected"),
    [
        (
            "deployments.apps",
            {"spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 1}},
            {"Ready": "2/3", "Up-to-date": 1, "Available": 0},
        ),
        (
            "daemonsets.apps",
            {
                "spec": {
                    "selector": {
                        "matchLabels": {"b": "2"},
                        "matchExpressions": [
                            {"key": "a", "operator": "In", "values": ["y", "x"]},
                            {"key": "c", "operator": "DoesNotExist"},
                        ],
                    },
                    "template": {"spec": {"nodeSelector": {"z": "1", "y": "2"}}},
                }
            },
            {"Selector": "a in (x,y),b=2,!c", "Node Selector": "y=2,z=1"},
        ),
        (
            "jobs.batch",
            {
                "spec": {"completions": 4},
                "status": {"succeeded": 1, "startTime": ago(200), "completionTime": ago(100)},
            },
            {"Completions": "1/4", "Duration": "100s", "Status": "Running"},
        ),
        (
            "services",
            {
                "spec": {
                    "type": "LoadBalancer",
                    "clusterIP": "10.0.0.1",
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53}],
                }
            },
            {"External-IP": "<pending>", "Port(s)": "80:30080/TCP,53/TCP"},
        ),
        (
            "endpoints",
            {
                "subsets": [
                    {
                        "addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)],
                        "ports": [{"port": 80}],
                    }
                ]
            },
            {"Endpoints": "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."},
        ),
        (
            "persistentvolumeclaims",
            {
                "spec": {"volumeName": "v", "storageClassName": "s"},
                "status": {
                    "phase": "Bound",
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                },
            },
            {"Capacity": "1Gi", "Access Modes": "RWO,RWX", "StorageClass": "s"},
        ),
        (
            "rolebindings.rbac.authorization.k8s.io",
            {
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                ],
            },
            {"Role": "Role/r", "Users": "u", "ServiceAccounts": "n/s"},
        ),
        (
            "poddisruptionbudgets.policy",
            {"spec": {"maxUnavailable": "10%"}},
            {"Min Available": "N/A", "Max Unavailable": "10%", "Allowed Disruptions": 0},
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {
                                "name": "cpu",
                                "target": {"type": "Utilization", "averageUtilization": 50},
                            },
                        }
                    ],
                }
            },
            {"Reference": "Deployment/d", "Targets": "cpu: <unknown>/50%", "MinPods": "<unset>"},
        ),
        (
            "resourcequotas",
            {"status": {"hard": {"pods": "3", "limits.cpu": "1"}, "used": {"pods": "1"}}},
            {"Request": "pods: 1/3", "Limit": "limits.cpu: 0/1"},
        ),
        (
            "certificatesigningrequests.certificates.k8s.io",
            {
                "spec": {"signerName": "s", "expirationSeconds": 3600},
                "status": {"conditions": [condition("Approved", "True")], "certificate": "x"},
            },
            {"RequestedDuration": "60m", "Condition": "Approved,Issued"},
        ),
        (
            "storageclasses.storage.k8s.io",
            {
                "metadata": {
                    "name": "s",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                }
            },
            {"Name": "s (default)", "ReclaimPolicy": "Delete", "AllowVolumeExpansion": False},
        ),
        ("roles.rbac.authorization.k8s.io", {"metadata": {"name": "r"}}, {"Created At": ""}),
    ],
)
def test_cells_of_a_kind(name: str, tree: dict[str, Any], expected: dict[str, Any]) -> None:
    found = cells(name, tree)
    assert {key: found[key] for key in expected} == expected


def test_include_object_chooses_what_a_row_carries() -> None:
    tree = {"kind": "Pod", "apiVersion": "v1", **pod()}

    def included(value: str) -> Any:
        table = tables.table(kinds.PODS, [tree], now=NOW, include_object=value)
        return table["rows"][0]["object"]

    assert included("None") is None
    assert included("Object") == tree
    assert included("") == included("Metadata")
    assert included("")["metadata"] == tree["metadata"]
    with pytest.raises(BadRequest):
        included("Everything")


def test_later_watch_events_have_no_columns() -> None:
    first = tables.table(kinds.PODS, [pod()], now=NOW)
    later = tables.table(kinds.PODS, [pod()], now=NOW, with_columns=False)
    assert first["columnDefinitions"]
    assert later["columnDefinitions"] is None


def test_list_metadata_keeps_what_tables_show() -> None:
    found = {"resourceVersion": "5", "continue": "x", "remainingItemCount": 2, "name": "n"}
    assert tables.list_metadata(found) == {
        "resourceVersion": "5",
        "continue": "x",
        "remainingItemCount": 2,
    }
