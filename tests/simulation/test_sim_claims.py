"""Claims are protected while pods use them, and hold up no namespace for longer than that."""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NAMESPACES, PODS
from kubeherd.simulation.cluster import pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual

CLAIMS = kinds.resource("", "v1", "persistentvolumeclaims")
VOLUMES = kinds.resource("", "v1", "persistentvolumes")


def claim() -> JsonObject:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "data"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


@virtual
async def test_a_namespace_with_a_used_claim_is_deleted() -> None:
    async with simulated(nodes=1) as cluster:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
        await cluster.admin.create(NAMESPACES, namespace)
        await cluster.admin.create(CLAIMS, claim(), "team")
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
        user = pod_tree("user", "node-0", volumes=[volume])
        user["metadata"]["namespace"] = "team"
        await cluster.admin.create(PODS, user)
        await cluster.admin.delete(CLAIMS, "data", "team")
        await cluster.clock.sleep(5)
        kept = await cluster.tree(CLAIMS, "data", "team")
        assert kept["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        await cluster.admin.delete(NAMESPACES, "team")

        async def gone() -> bool:
            try:
                await cluster.tree(NAMESPACES, "team")
            except NotFound:
                return True
            return False

        await cluster.until(gone, within_s=60)


@virtual
async def test_a_pod_waits_on_its_node_for_its_claim() -> None:
    async with simulated(nodes=1) as cluster:
        admin = cluster.admin
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
        await admin.create(PODS, pod_tree("user", "node-0", volumes=[volume]))
        await cluster.clock.sleep(1)
        await admin.create(CLAIMS, claim(), "default")
        await cluster.clock.sleep(10)
        status = (await cluster.tree(PODS, "user", "default"))["status"]
        assert status["phase"] == "Pending"
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        assert status["containerStatuses"][0]["state"] == waiting
        await cluster.kill("node-0")
        cluster.start_node("node-0")
        await cluster.clock.sleep(20)
        assert (await cluster.tree(PODS, "user", "default"))["status"]["phase"] == "Pending"
        start = (
            "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
            "failed to process volumes=[v]: error processing PVC default/data: "
        )
        assert {
            event["message"].removeprefix(start) for event in await cluster.events("FailedMount")
        } == {
            'failed to fetch PVC from API server: persistentvolumeclaims "data" not found',
            "PVC is not bound",
        }
        spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
        spec |= {"hostPath": {"path": "/x"}}
        await admin.create(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})

        async def ready() -> bool:
            return any(pod.ready for pod in await cluster.pods())

        await cluster.until(ready, within_s=30)
