"""Admission of claims, volumes and classes, as Kubernetes v1.36."""

from typing import Any

import pytest
from apicluster import ADMIN, Cluster

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


def claim(size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": size}}
    return {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
    }


async def add_class(cluster: Cluster, name: str, default: str = "", **fields: Any) -> None:
    key = "storageclass.kubernetes.io/is-default-class"
    meta = {"name": name, "annotations": {key: default}}
    body = {"metadata": meta, "provisioner": "p", **fields}
    assert (await cluster.post(CLASSES, body)).status == 201


@pytest.mark.parametrize(
    ("path", "body", "finalizer"),
    [
        (CLAIMS, claim(), "kubernetes.io/pvc-protection"),
        ("/api/v1/persistentvolumes", {
            "metadata": {"name": "c"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/x"},
            },
        }, "kubernetes.io/pv-protection"),
        ("/apis/storage.k8s.io/v1/volumeattributesclasses",
         {"metadata": {"name": "c"}, "driverName": "d", "parameters": {"a": "b"}},
         "kubernetes.io/vac-protection"),
    ],
)  # fmt: skip
async def test_what_may_be_in_use_is_protected(
    cluster: Cluster, path: str, body: dict[str, Any], finalizer: str
) -> None:
    body["metadata"]["finalizers"] = ["a.b/c"]
    created = await cluster.post(path, body)
    assert created.tree["metadata"]["finalizers"] == ["a.b/c", finalizer]
    again = {**body, "metadata": {"name": "d", "finalizers": [finalizer]}}
    assert (await cluster.post(path, again)).tree["metadata"]["finalizers"] == [finalizer]


async def test_the_default_class(cluster: Cluster) -> None:
    assert "storageClassName" not in (await cluster.post(CLAIMS, claim())).tree["spec"]
    for name, default in (("b", "true"), ("a", "true"), ("no", "false")):
        await add_class(cluster, name, default)
    for wanted, got in ((None, "a"), ("", ""), ("own", "own")):
        body = claim() if wanted is None else claim(storageClassName=wanted)
        body["metadata"] = {"generateName": "c-"}
        assert (await cluster.post(CLAIMS, body)).tree["spec"]["storageClassName"] == got


async def test_the_default_ingress_class(cluster: Cluster) -> None:
    key = "ingressclass.kubernetes.io/is-default-class"
    body: dict[str, Any] = {
        "metadata": {"name": "nginx", "annotations": {key: "true"}},
        "spec": {"controller": "example.com/nginx"},
    }
    await cluster.post("/apis/networking.k8s.io/v1/ingressclasses", body)
    ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    spec = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    created = await cluster.post(ingresses, {"metadata": {"name": "a"}, "spec": spec})
    assert created.tree["spec"]["ingressClassName"] == "nginx"
    old_way = {"name": "b", "annotations": {"kubernetes.io/ingress.class": "other"}}
    created = await cluster.post(ingresses, {"metadata": old_way, "spec": spec})
    assert "ingressClassName" not in created.tree["spec"]


async def test_growth(cluster: Cluster) -> None:
    await add_class(cluster, "fixed")
    await add_class(cluster, "elastic", allowVolumeExpansion=True)
    for name in ("fixed", "elastic"):
        body = claim(storageClassName=name)
        body["metadata"] = {"name": name}
        await cluster.post(CLAIMS, body)
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    unbound = await cluster.patch(f"{CLAIMS}/elastic", more)
    assert unbound.status == 422
    assert "spec: Forbidden: spec is immutable after creation except" in unbound.message
    for name in ("fixed", "elastic"):
        bound = {"spec": {"volumeName": "v"}}
        assert (await cluster.patch(f"{CLAIMS}/{name}", bound)).status == 200
        phase = {"status": {"phase": "Bound"}}
        await cluster.patch(f"{CLAIMS}/{name}/status", phase, user=ADMIN)
    refused = await cluster.patch(f"{CLAIMS}/fixed", more)
    assert refused.message == (
        'persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be '
        "resized and the storageclass that provisions the pvc must support resize"
    )
    assert (await cluster.patch(f"{CLAIMS}/elastic", more)).status == 200
