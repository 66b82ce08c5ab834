"""Claims are protected while pods use them, and hold up no namespace for longer than that."""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NAMESPACES, PODS
from kubeherd.simulation.cluster import pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual

CLAIMS = kinds.resource("", "v1", "persistentvolumeclaims")


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
