"""What becomes of the state of another cluster, and what is told about it."""

import lzma
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubeherd.cluster.api.etcd.definitions import OLD_VERSION
from kubeherd.cluster.api.helpers import nodestandin
from kubeherd.snapshot import adapting, dumps, etcdsnapshot
from kubeherd.snapshot.adapting import Adapted
from kubeherd.snapshot.model import Origin, Snapshot, entry_of
from kubeherd.snapshot.naming import custom_plurals, group_resource

NOW = "2026-01-02T03:04:05Z"
RECORDED = Path(__file__).parents[2] / "data" / "etcd-snapshot.db.xz"


def an_object(kind: str, name: str, *, version: str = "v1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": NOW}
    metadata |= more.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def adapted(*trees: dict[str, Any], origin: Origin = Origin.CLUSTER) -> Adapted:
    plurals = custom_plurals(trees)
    entries = [entry_of(group_resource(tree, plurals), tree, revision=9) for tree in trees]
    return adapting.adapt(Snapshot(origin=origin, revision=9, entries=entries), NOW)


def left(found: Adapted) -> dict[str, dict[str, Any]]:
    return {f"{entry.resource}/{entry.name}": entry.tree() for entry in found.snapshot.entries}


def a_pod(name: str = "p", **more: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "worker"}
    pod = an_object("Pod", name, spec=spec, metadata={"namespace": "default"})
    pod["metadata"] |= more
    return pod


NAMESPACE = an_object("Namespace", "default")


RBAC, WEBHOOKS = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"
BOOTSTRAPPED = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
OF_SERVER = {"namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}
IN_DEFAULT = {"namespace": "default"}


@pytest.mark.parametrize(
    ("kind", "version", "metadata", "why"),
    [
        ("MutatingWebhookConfiguration", WEBHOOKS, {}, "must not be called"),
        ("ValidatingWebhookConfiguration", WEBHOOKS, {}, "nobody answers them here"),
        ("Lease", "coordination.k8s.io/v1", IN_DEFAULT, "holders are not here"),
        ("APIService", "apiregistration.k8s.io/v1", {}, "registers its own"),
        ("IPAddress", "networking.k8s.io/v1", {}, "made anew"),
        ("ClusterRole", RBAC, BOOTSTRAPPED, "has these roles itself"),
        ("Service", "v1", {**IN_DEFAULT, "name": "kubernetes"}, "another address"),
        ("ConfigMap", "v1", {**IN_DEFAULT, "name": "kube-root-ca.crt"}, "other keys"),
        ("EndpointSlice", "discovery.k8s.io/v1", OF_SERVER, "another address"),
        ("PodSecurityPolicy", "policy/v1beta1", {}, "does not serve them (policy/v1beta1)"),
        ("Widget", "example.com/v1", {}, "does not serve them"),
    ],
)
def test_what_would_hurt_or_cannot_be_kept_is_left_out(kind, version, metadata, why):
    found = adapted(NAMESPACE, an_object(kind, "x", version=version, metadata=metadata))
    assert list(left(found)) == ["namespaces/default"]
    (line,) = found.changes
    assert line.startswith("left out 1 ")
    assert why in line


@pytest.mark.parametrize(
    ("kind", "version", "metadata"),
    [
        ("ClusterRole", "rbac.authorization.k8s.io/v1", {}),
        ("Service", "v1", {"name": "kubernetes", "namespace": "other"}),
        ("Service", "v1", {"name": "web", "namespace": "default"}),
        ("ConfigMap", "v1", {"name": "settings", "namespace": "default"}),
        ("FlowSchema", "flowcontrol.apiserver.k8s.io/v1", {}),
    ],
)
def test_what_is_like_that_and_does_not_hurt_stays(kind, version, metadata):
    found = adapted(
        NAMESPACE,
        an_object("Namespace", "other"),
        an_object(kind, "x", version=version, metadata=metadata),
    )
    assert len(left(found)) == 3
    assert found.changes == []


def test_nodes_are_stood_in_for_with_what_they_had():
    status = {
        "capacity": {"cpu": "16", "nvidia.com/gpu": "2"},
        "allocatable": {"cpu": "15"},
        "nodeInfo": {"kubeletVersion": "v1.34.2", "bootID": "b", "swap": {"capacity": 5}},
    }
    found = adapted(NAMESPACE, an_object("Node", "worker", status=status), a_pod())
    assert found.nodes == ["worker"]
    assert left(found)["pods/p"]["spec"]["nodeName"] == "worker"
    annotations = left(found)["nodes/worker"]["metadata"]["annotations"]
    own = {"capacity": {"cpu": "8"}, "allocatable": {"cpu": "8"}, "nodeInfo": {"bootID": "new"}}
    assert nodestandin.shown(own, annotations) == {
        "capacity": {"cpu": "16", "nvidia.com/gpu": "2"},
        "allocatable": {"cpu": "15"},
        "nodeInfo": {"kubeletVersion": "v1.34.2", "bootID": "new"},
    }


def test_containers_run_the_image_that_was_asked_for_whatever_the_runtime_calls_it():
    pod = a_pod()
    container = {"name": "c", "image": "docker.io/library/i:latest", "imageID": "sha256:x"}
    pod["status"] = {"containerStatuses": [container]}
    (status,) = left(adapted(NAMESPACE, pod))["pods/p"]["status"]["containerStatuses"]
    assert (status["image"], status["imageID"]) == ("i", "sha256:x")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"capacity": 5}', "\ud800"])
def test_a_stand_in_that_is_not_readable_counts_as_none(text):
    own = {"capacity": {"cpu": "8"}, "allocatable": {"cpu": "8"}, "nodeInfo": {}}
    assert nodestandin.shown(own, {nodestandin.ANNOTATION: text}) == own
    assert nodestandin.shown(own, {}) is own


def test_without_nodes_those_that_pods_name_are_the_nodes():
    found = adapted(NAMESPACE, a_pod(), origin=Origin.DUMP)
    assert found.nodes == ["worker"]


def test_namespaces_that_nobody_dumped_are_made():
    found = adapted(a_pod(), origin=Origin.DUMP)
    namespace = left(found)["namespaces/default"]
    assert namespace["status"] == {"phase": "Active"}
    assert namespace["metadata"]["uid"]
    assert found.changes == ["1 namespaces: default is made, since objects are in it"]


def test_owners_that_are_not_there_are_forgotten_since_they_would_be_waited_for():
    def owned_by(*names: str) -> dict[str, Any]:
        owners = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"uid-{name}"}
            for name in names
        ]
        return {"ownerReferences": owners}

    trees = left(
        adapted(NAMESPACE, a_pod("a", **owned_by("b", "gone")), a_pod("b", **owned_by("gone")))
    )
    assert [o["name"] for o in trees["pods/a"]["metadata"]["ownerReferences"]] == ["b"]
    assert "ownerReferences" not in trees["pods/b"]["metadata"]


def test_finalizers_of_others_stay_and_are_told():
    found = adapted(
        NAMESPACE,
        a_pod("a", finalizers=["example.com/x"]),
        a_pod("b", finalizers=["example.com/x"], deletionTimestamp=NOW),
        a_pod("c", finalizers=["batch.kubernetes.io/job-tracking"]),
    )
    assert left(found)["pods/a"]["metadata"]["finalizers"] == ["example.com/x"]
    assert found.changes == [
        "1 pods: are being deleted and stay until somebody removes their finalizers",
        "1 pods: when deleted stay until somebody removes their finalizers",
    ]


@pytest.mark.parametrize("origin", [Origin.KUBEHERD, Origin.CLUSTER])
def test_tokens_of_the_old_keys_are_taken_out(origin):
    secret = an_object(
        "Secret",
        "t",
        type="kubernetes.io/service-account-token",
        data={"token": "dA==", "ca.crt": "Yw==", "namespace": "ZA=="},
        metadata={"namespace": "default"},
    )
    other = an_object("Secret", "o", type="Opaque", data={"token": "dA=="})
    other["metadata"]["namespace"] = "default"
    trees = left(adapted(NAMESPACE, secret, other, origin=origin))
    assert trees["secrets/t"]["data"] == {"namespace": "ZA=="}
    assert trees["secrets/o"]["data"] == {"token": "dA=="}


def test_a_cluster_of_ours_keeps_all_but_what_belongs_to_its_keys_and_processes():
    kept = [
        NAMESPACE,
        an_object("Node", "worker"),
        a_pod(ownerReferences=[{"uid": "gone"}]),
        an_object("Lease", "mine", version="coordination.k8s.io/v1", metadata={"namespace": "x"}),
        an_object("ConfigMap", "settings", metadata={"namespace": "x"}),
        an_object("Widget", "w", version="example.com/v1"),
    ]
    gone = [
        an_object(
            "Lease",
            "kube-controller-manager",
            version="coordination.k8s.io/v1",
            metadata={"namespace": "kube-system"},
        ),
        an_object("ConfigMap", "kube-root-ca.crt", metadata={"namespace": "x"}),
        an_object(
            "ConfigMap",
            "extension-apiserver-authentication",
            metadata={"namespace": "kube-system"},
        ),
        an_object("ConfigMap", "cluster-info", metadata={"namespace": "kube-public"}),
    ]
    found = adapted(*kept, *gone, origin=Origin.KUBEHERD)
    assert [entry.tree() for entry in found.snapshot.entries] == kept
    assert len(found.changes) == 2


def test_objects_are_kept_in_the_form_in_which_they_are_stored():
    event = an_object(
        "Event",
        "e",
        version="events.k8s.io/v1",
        metadata={"namespace": "default"},
        regarding={"kind": "Pod", "name": "p"},
        note="hello",
    )
    trees = left(adapted(NAMESPACE, event))
    assert trees["events/e"]["apiVersion"] == "v1"
    assert trees["events/e"]["message"] == "hello"


def test_an_object_that_is_not_valid_is_left_out_and_unknown_fields_are_dropped():
    broken, unknown = a_pod("broken"), a_pod("unknown")
    broken["spec"]["containers"] = "none"
    unknown["spec"]["colour"] = "red"
    found = adapted(NAMESPACE, broken, unknown)
    assert left(found).keys() == {"namespaces/default", "pods/unknown"}
    assert "colour" not in left(found)["pods/unknown"]["spec"]
    assert found.changes[0].startswith("left out 1 pods: they are not valid (")
    assert found.changes[1] == "1 pods: fields that are not known here are dropped"


def test_a_hand_written_object_gets_what_every_stored_one_has():
    pod = a_pod()
    del pod["metadata"]["uid"], pod["metadata"]["creationTimestamp"]
    first, again = (left(adapted(NAMESPACE, pod))["pods/p"]["metadata"] for _ in range(2))
    assert first["uid"] == again["uid"]
    assert first["creationTimestamp"] == NOW


def test_definitions_convert_by_name_where_a_webhook_did():
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True}],
        "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}},
    }
    definition = an_object(
        "CustomResourceDefinition",
        "widgets.example.com",
        version="apiextensions.k8s.io/v1",
        spec=spec,
    )
    widget = an_object("Widget", "w", version="example.com/v1", metadata={"namespace": "default"})
    trees = left(adapted(NAMESPACE, definition, widget))
    assert trees["customresourcedefinitions.apiextensions.k8s.io/widgets.example.com"]["spec"][
        "conversion"
    ] == {"strategy": "None"}
    assert "widgets.example.com/w" in trees


def test_a_definition_of_a_dump_from_long_ago_becomes_one_of_v1():
    spec = {"group": "e.com", "version": "v1", "names": {"plural": "ws", "kind": "W"}}
    old = an_object("CustomResourceDefinition", "ws.e.com", version=OLD_VERSION, spec=spec)
    trees = left(adapted(old, origin=Origin.DUMP))
    (new,) = trees.values()
    assert new["apiVersion"] == "apiextensions.k8s.io/v1"
    assert new["spec"]["versions"][0]["name"] == "v1"


def test_the_recorded_etcd_becomes_a_cluster_with_its_pods_on_its_nodes():
    snapshot = etcdsnapshot.read(lzma.decompress(RECORDED.read_bytes()))
    found = adapting.adapt(snapshot, NOW)
    trees = left(found)
    assert found.nodes == ["ip-10-1-0-1.ec2.internal", "ip-10-1-0-2.ec2.internal"]
    bound = {tree["spec"]["nodeName"] for key, tree in trees.items() if key.startswith("pods/")}
    assert bound == set(found.nodes)
    definition = trees["customresourcedefinitions.apiextensions.k8s.io/widgets.example.com"]
    assert definition["apiVersion"] == "apiextensions.k8s.io/v1"
    assert definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] == "object"
    assert trees["widgets.example.com/w"]["spec"] == {"size": 3}
    assert "secrets/pw" in trees


DOCUMENTS = b"""\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a, namespace: x, resourceVersion: "7"}
  data: {flag: "yes", day: 2026-01-02}
---
apiVersion: v1
kind: ConfigMapList
items:
- metadata: {name: b, namespace: x, resourceVersion: "8"}
- metadata: {name: a, namespace: x, resourceVersion: "6"}
---
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: x}
"""


def test_a_dump_may_be_lists_objects_and_several_documents():
    found = dumps.read(DOCUMENTS)
    assert (found.origin, found.revision) == (Origin.DUMP, 8)
    assert [(e.resource, e.name, e.revision) for e in found.entries] == [
        ("configmaps", "a", 7),
        ("configmaps", "b", 8),
        ("deployments.apps", "d", 0),
    ]
    assert found.entries[0].tree()["data"] == {"flag": "yes", "day": "2026-01-02"}
    assert found.entries[1].tree()["kind"] == "ConfigMap"


def test_a_dump_in_json_is_the_same():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    text = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": [pod]})
    assert [(e.resource, e.name) for e in dumps.read(text).entries] == [("pods", "p")]
