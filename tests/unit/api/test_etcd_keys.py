"""Keys of objects in etcd, against the paths that Kubernetes' own tests expect
(test/integration/etcd/data.go, v1.36)."""

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.etcd import keys
from kubeherd.cluster.api.etcd.keys import ObjectKey

NAMESPACED = {
    "configmaps": "configmaps",
    "services": "services/specs",
    "podtemplates": "podtemplates",
    "pods": "pods",
    "endpoints": "services/endpoints",
    "resourcequotas": "resourcequotas",
    "limitranges": "limitranges",
    "events": "events",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "serviceaccounts": "serviceaccounts",
    "secrets": "secrets",
    "replicationcontrollers": "controllers",
    "daemonsets.apps": "daemonsets",
    "deployments.apps": "deployments",
    "statefulsets.apps": "statefulsets",
    "replicasets.apps": "replicasets",
    "controllerrevisions.apps": "controllerrevisions",
    "horizontalpodautoscalers.autoscaling": "horizontalpodautoscalers",
    "jobs.batch": "jobs",
    "cronjobs.batch": "cronjobs",
    "leases.coordination.k8s.io": "leases",
    "endpointslices.discovery.k8s.io": "endpointslices",
    "ingresses.networking.k8s.io": "ingress",
    "networkpolicies.networking.k8s.io": "networkpolicies",
    "poddisruptionbudgets.policy": "poddisruptionbudgets",
    "csistoragecapacities.storage.k8s.io": "csistoragecapacities",
    "roles.rbac.authorization.k8s.io": "roles",
    "rolebindings.rbac.authorization.k8s.io": "rolebindings",
    "resourceclaims.resource.k8s.io": "resourceclaims",
    "resourceclaimtemplates.resource.k8s.io": "resourceclaimtemplates",
    "foos.cr.bar.com": "cr.bar.com/foos",
}
CLUSTER = {
    "namespaces": "namespaces",
    "nodes": "minions",
    "persistentvolumes": "persistentvolumes",
    "certificatesigningrequests.certificates.k8s.io": "certificatesigningrequests",
    "ingressclasses.networking.k8s.io": "ingressclasses",
    "ipaddresses.networking.k8s.io": "ipaddresses",
    "servicecidrs.networking.k8s.io": "servicecidrs",
    "flowschemas.flowcontrol.apiserver.k8s.io": "flowschemas",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": "prioritylevelconfigurations",
    "volumeattachments.storage.k8s.io": "volumeattachments",
    "volumeattributesclasses.storage.k8s.io": "volumeattributesclasses",
    "storageclasses.storage.k8s.io": "storageclasses",
    "csinodes.storage.k8s.io": "csinodes",
    "csidrivers.storage.k8s.io": "csidrivers",
    "clusterroles.rbac.authorization.k8s.io": "clusterroles",
    "clusterrolebindings.rbac.authorization.k8s.io": "clusterrolebindings",
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        "validatingwebhookconfigurations"
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": "mutatingwebhookconfigurations",
    "validatingadmissionpolicies.admissionregistration.k8s.io": "validatingadmissionpolicies",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        "validatingadmissionpolicybindings"
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (
        "mutatingadmissionpolicybindings"
    ),
    "priorityclasses.scheduling.k8s.io": "priorityclasses",
    "runtimeclasses.node.k8s.io": "runtimeclasses",
    "deviceclasses.resource.k8s.io": "deviceclasses",
    "resourceslices.resource.k8s.io": "resourceslices",
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
    "customresourcedefinitions.apiextensions.k8s.io": (
        "apiextensions.k8s.io/customresourcedefinitions"
    ),
    "pants.custom.fancy.com": "custom.fancy.com/pants",
}


@pytest.mark.parametrize(("resource_key", "path"), NAMESPACED.items())
def test_a_namespaced_object_is_where_kubernetes_has_it(resource_key: str, path: str) -> None:
    key = ObjectKey(resource_key, "space", "system:a.b-1")
    assert keys.encode(key) == f"/registry/{path}/space/system:a.b-1".encode()
    assert keys.decode(keys.encode(key)) == key


@pytest.mark.parametrize(("resource_key", "path"), CLUSTER.items())
def test_an_object_without_namespace_is_where_kubernetes_has_it(
    resource_key: str, path: str
) -> None:
    key = ObjectKey(resource_key, "", "system:a.b-1")
    assert keys.encode(key) == f"/registry/{path}/system:a.b-1".encode()
    assert keys.decode(keys.encode(key)) == key


def test_every_kind_that_is_stored_has_its_place() -> None:
    stored = {
        (r.group_resource, r.namespaced)
        for r in kinds.ALL
        if {"create", "get"} <= set(r.verbs) and r is not kinds.EVENTS_V1
    }
    expected = {(name, True) for name in NAMESPACED} | {(name, False) for name in CLUSTER}
    assert stored == expected - {("foos.cr.bar.com", True), ("pants.custom.fancy.com", False)}


def test_events_of_both_apis_are_in_one_place() -> None:
    assert keys.decode(b"/registry/events/default/x.1") == ObjectKey("events", "default", "x.1")


@pytest.mark.parametrize(
    "key",
    [
        b"compact_rev_key",
        b"/registry/ranges/serviceips",
        b"/registry/ranges/servicenodeports",
        b"/registry/masterleases/10.0.0.1",
        b"/registry/peerserverleases/apiserver-x",
        b"/registry/health",
        b"/registry/clustertrustbundles/example.com:signer:abc",
        b"/registry/leasecandidates/kube-system/x",
        b"/registry/pods/default",
        b"/registry/pods/default/a/b",
        b"/registry/pods//a",
        b"/registry/minions/a/b",
        b"/registry/services/other/default/a",
        b"/registry/custom.fancy.com/pants",
        b"/other/pods/default/a",
        b"registry/pods/default/a",
        b"\xff\x00",
        b"",
    ],
)
def test_what_is_no_object_of_ours_is_none(key: bytes) -> None:
    assert keys.decode(key) is None
