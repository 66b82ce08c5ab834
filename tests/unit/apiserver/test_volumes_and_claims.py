"""PersistentVolumes and claims: protection, first status, data sources, what may not change."""

from apicluster import MERGE, Cluster

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"


def claim(name: str, **spec: object) -> dict[str, object]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": {**wanted, **spec}}


async def test_a_claim_in_deletion_waits_for_its_release(cluster: Cluster) -> None:
    created = (await cluster.post(CLAIMS, claim("c"))).tree
    assert created["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert created["status"] == {"phase": "Pending"}
    deleted = await cluster.call("DELETE", f"{CLAIMS}/c")
    assert "deletionTimestamp" in deleted.tree["metadata"]
    assert (await cluster.get(f"{CLAIMS}/c")).status == 200
    await cluster.patch(f"{CLAIMS}/c", {"metadata": {"finalizers": None}}, MERGE)
    assert (await cluster.get(f"{CLAIMS}/c")).status == 404


async def test_both_names_of_a_data_source(cluster: Cluster) -> None:
    source = {"kind": "PersistentVolumeClaim", "name": "old"}
    shown = {**source, "apiGroup": None}
    spec = (await cluster.post(CLAIMS, claim("a", dataSource=source))).tree["spec"]
    assert (spec["dataSource"], spec["dataSourceRef"]) == (shown, shown)
    spec = (await cluster.post(CLAIMS, claim("b", dataSourceRef=source))).tree["spec"]
    assert (spec["dataSource"], spec["dataSourceRef"]) == (shown, shown)
    other = {"kind": "X", "name": "x", "apiGroup": "a.b"}
    assert (
        "dataSource" not in (await cluster.post(CLAIMS, claim("c", dataSource=other))).tree["spec"]
    )
    elsewhere = {**source, "namespace": "other"}
    answer = await cluster.post(CLAIMS, claim("d", dataSourceRef=elsewhere))
    assert "dataSourceRef" not in answer.tree["spec"]


async def test_the_spec_of_a_claim_stays(cluster: Cluster) -> None:
    """The difference is of the internal type, with three lines around it."""
    await cluster.post(CLAIMS, claim("c", storageClassName="a"))
    answer = await cluster.patch(f"{CLAIMS}/c", {"spec": {"storageClassName": "b"}}, MERGE)
    (cause,) = answer.tree["details"]["causes"]
    assert cause == {
        "reason": "FieldValueForbidden",
        "field": "spec",
        "message": (
            "Forbidden: spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims\n"
            "@@ -10,7 +10,7 @@\n   }\n  },\n"
            ' "VolumeName": "",\n- "StorageClassName": "a",\n+ "StorageClassName": "b",\n'
            '  "VolumeMode": "Filesystem",\n  "DataSource": null,\n  "DataSourceRef": null,\n'
        ).replace('\n "VolumeName"', '\n  "VolumeName"'),
    }


async def test_a_volume_keeps_its_source(cluster: Cluster) -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/srv/x"},
    }
    created = await cluster.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})
    assert created.tree["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    status = created.tree["status"]
    assert status["phase"] == "Pending"
    assert status["lastPhaseTransitionTime"] == created.tree["metadata"]["creationTimestamp"]
    patch = {"spec": {"hostPath": {"path": "/srv/y"}}}
    answer = await cluster.patch(f"{VOLUMES}/v", patch, MERGE)
    (cause,) = answer.tree["details"]["causes"]
    assert cause["field"] == "spec.persistentvolumesource"
    assert cause["message"].startswith(
        "Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7 @@\n"
    )
    assert '\n-  "Path": "/srv/x",\n+  "Path": "/srv/y",\n' in cause["message"]


async def test_a_wrong_volume_is_refused_twice_when_it_is_changed(cluster: Cluster) -> None:
    """Kubernetes' strategy checks a changed volume twice."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/srv/x"},
    }
    await cluster.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})
    answer = await cluster.patch(f"{VOLUMES}/v", {"spec": {"accessModes": []}}, MERGE)
    assert [cause["field"] for cause in answer.tree["details"]["causes"]] == [
        "spec.accessModes"
    ] * 2
