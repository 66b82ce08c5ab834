"""A kubelet writes mirror pods, so they must give it nothing."""

from functools import partial
from typing import Any

import orjson
import pytest
from apicluster import ADMIN, NODE, Cluster, pod

from kubeherd.cluster.api.helpers import podreferences
from kubeherd.cluster.api.schemas import definitions as schemas

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"
MIRROR = "kubernetes.io/config.mirror"


async def node_uid(cluster: Cluster, name: str = "n1") -> str:
    answer = await cluster.post("/api/v1/nodes", {"metadata": {"name": name}})
    return str(answer.tree["metadata"]["uid"])


def mirror(uid: str, **spec: Any) -> dict[str, Any]:
    tree = pod("m", **{"nodeName": "n1", **spec})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
    tree["metadata"] |= {"annotations": {MIRROR: "x"}, "ownerReferences": [owner]}
    return tree


def container(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "i", **fields}]


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def projected(**source: Any) -> dict[str, Any]:
    return volume(projected={"sources": [source]})


KEY = {"name": "s", "key": "k"}
REF = {"secretRef": {"name": "s"}}
TOKEN = {"serviceAccountToken": {"path": "p"}}
SECRET_REFERENCES = [
    {"containers": container(env=[{"name": "A", "valueFrom": {"secretKeyRef": KEY}}])},
    {"containers": container(envFrom=[REF])},
    {"initContainers": [{"name": "i", "image": "i", "envFrom": [REF]}]},
    {"imagePullSecrets": [{"name": "s"}]},
    volume(secret={"secretName": "s"}),
    projected(secret={"name": "s"}),
    volume(azureFile={"secretName": "s", "shareName": "x"}),
    volume(cephfs={"monitors": ["m"], **REF}),
    volume(cinder={"volumeID": "x", **REF}),
    volume(flexVolume={"driver": "d/d", **REF}),
    volume(iscsi={"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:x", "lun": 0, **REF}),
    volume(rbd={"monitors": ["m"], "image": "i", **REF}),
    volume(scaleIO={"gateway": "g", "system": "s", "volumeName": "v", **REF}),
    volume(storageos={"volumeName": "v", **REF}),
    volume(csi={"driver": "d", "nodePublishSecretRef": {"name": "s"}}),
]
OTHER_REFERENCES = [
    ("serviceaccounts", {"serviceAccountName": "a"}),
    ("serviceaccounts", {"serviceAccount": "a"}),
    ("serviceaccounts (via projected volumes)", projected(**TOKEN)),
    ("configmaps", {"containers": container(
        env=[{"name": "A", "valueFrom": {"configMapKeyRef": KEY}}])}),
    ("configmaps", {"containers": container(envFrom=[{"configMapRef": {"name": "s"}}])}),
    ("configmaps", volume(configMap={"name": "s"})),
    ("configmaps", projected(configMap={"name": "s"})),
    ("resourceclaims", {"resourceClaims": [{"name": "r", "resourceClaimName": "c"}]}),
    ("csidrivers (via CSI volumes)", volume(csi={"driver": "d"})),
    ("endpoints (via glusterFS volumes)", volume(glusterfs={"endpoints": "e", "path": "p"})),
    ("persistentvolumeclaims", volume(persistentVolumeClaim={"claimName": "c"})),
    ("persistentvolumeclaims (via ephemeral volumes)", volume(ephemeral={
        "volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}})),
]  # fmt: skip


@pytest.mark.parametrize("spec", SECRET_REFERENCES)
async def test_no_mirror_pod_refers_to_a_secret(cluster: Cluster, spec: dict[str, Any]) -> None:
    await cluster.post(SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "hush"}})
    tree = mirror(await node_uid(cluster), **spec)
    for user in (NODE, ADMIN):
        refused = await cluster.post(PODS, tree, user=user)
        assert (refused.status, refused.message) == (
            403,
            'pods "m" is forbidden: a mirror pod may not reference secrets',
        )
    assert (await cluster.get(f"{PODS}/m")).status == 404
    assert (await cluster.get(f"{SECRETS}/s", user=NODE)).status == 403
    assert next(podreferences.secrets(tree)) == "s"


@pytest.mark.parametrize(("what", "spec"), OTHER_REFERENCES)
async def test_nor_to_anything_else(cluster: Cluster, what: str, spec: dict[str, Any]) -> None:
    refused = await cluster.post(PODS, mirror(await node_uid(cluster), **spec), user=NODE)
    if what == "serviceaccounts":
        why = "a mirror pod may not reference service accounts"
    elif what == "serviceaccounts (via projected volumes)":
        why = "a mirror pod may not use ServiceAccountToken volume projections"
    else:
        why = f'node "n1" can not create pods that reference {what}'
    assert (refused.status, refused.message) == (403, f'pods "m" is forbidden: {why}')
    assert (await cluster.get(f"{PODS}/m")).status == 404


@pytest.mark.parametrize(
    "spec",
    [
        {},
        volume(emptyDir={}),
        volume(hostPath={"path": "/x"}),
        volume(iscsi={"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:x", "lun": 0}),
        projected(downwardAPI={"items": [
            {"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}),
    ],
)  # fmt: skip
async def test_a_mirror_pod_that_refers_to_nothing(cluster: Cluster, spec: dict[str, Any]) -> None:
    created = await cluster.post(PODS, mirror(await node_uid(cluster), **spec), user=NODE)
    assert created.status == 201, created.message
    assert "serviceAccountName" not in created.tree["spec"]
    assert (await cluster.get(f"{PODS}/m", user=NODE)).status == 200
    assert (await cluster.delete(f"{PODS}/m?gracePeriodSeconds=0", user=NODE)).status == 200


async def test_a_mirror_pod_belongs_to_its_own_node(cluster: Cluster) -> None:
    uid = await node_uid(cluster)
    await node_uid(cluster, "n2")
    good = mirror(uid)
    owner = good["metadata"]["ownerReferences"][0]
    own = "can only create pods with an owner reference set to itself"
    for owners, why in (
        ([], own),
        ([owner, {**owner, "uid": "2", "controller": False}],
         "can only create pods with a single owner reference set to itself"),
        ([{**owner, "apiVersion": "apps/v1"}], own),
        ([{**owner, "kind": "Pod"}], own),
        ([{**owner, "name": "n2"}], own),
        ([{**owner, "controller": False}],
         "can only create pods with a controller owner reference set to itself"),
        ([{**owner, "blockOwnerDeletion": True}],
         "must not set blockOwnerDeletion on an owner reference"),
    ):  # fmt: skip
        tree = {**good, "metadata": {**good["metadata"], "ownerReferences": owners}}
        refused = await cluster.post(PODS, tree, user=NODE)
        assert (refused.status, refused.message) == (403, f'pods "m" is forbidden: node "n1" {why}')
    refused = await cluster.post(PODS, mirror("another"), user=NODE)
    assert refused.message.endswith(f"node n1 UID mismatch: expected another got {uid}")
    elsewhere = await cluster.post(PODS, mirror(uid, nodeName="n2"), user=NODE)
    assert elsewhere.message.endswith(
        'node "n1" can only create pods with spec.nodeName set to itself'
    )
    await cluster.delete("/api/v1/nodes/n1")
    assert (await cluster.post(PODS, good, user=NODE)).status == 404


def _as_it_is(json: bytes, _revision: int) -> bytes:
    return json


async def test_an_old_mirror_pod_gives_no_rights(cluster: Cluster) -> None:
    """Defence in depth, as in Kubernetes: one that was stored when nobody refused it."""
    for name in ("mirrored", "used"):
        await cluster.post(SECRETS, {"metadata": {"name": name}})
    for name, annotations in (("mirrored", {MIRROR: "x"}), ("used", {})):
        tree = pod(name, nodeName="n1", imagePullSecrets=[{"name": name}])
        tree["metadata"] |= {"namespace": "default", "annotations": annotations}
        stored = orjson.dumps({"apiVersion": "v1", "kind": "Pod", **tree})
        await cluster.store.committed(
            cluster.store.put("pods", "default", name, partial(_as_it_is, stored), None)
        )
    assert (await cluster.get(f"{SECRETS}/used", user=NODE)).status == 200
    assert (await cluster.get(f"{SECRETS}/mirrored", user=NODE)).status == 403
    assert (await cluster.get(f"{PODS}/mirrored", user=NODE)).status == 200


def test_every_source_of_volumes_is_known() -> None:
    """A source that a later Kubernetes adds must be sorted in, else mirror pods cannot use it."""
    for key, known in (
        ("io.k8s.api.core.v1.Volume", lambda name: {"volumes": [{"name": "v", name: {}}]}),
        ("io.k8s.api.core.v1.VolumeProjection", lambda name: projected(**{name: {}})),
    ):
        for name in schemas.by_key(key).properties.keys() - {"name", "projected"}:
            podreferences.first({"metadata": {"name": "p"}, "spec": known(name)})
    with pytest.raises(ValueError, match="unknown volume type"):
        podreferences.first({"spec": {"volumes": [{"name": "v", "quantum": {}}]}})
    with pytest.raises(ValueError, match="unknown source"):
        podreferences.first({"spec": projected(quantum={})})
