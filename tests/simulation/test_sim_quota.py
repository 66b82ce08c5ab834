"""A DaemonSet under a ResourceQuota: as many pods as fit, and another when one has gone."""

from kubeherd.cluster.api.kinds import DAEMONSETS, PODS, RESOURCEQUOTAS
from kubeherd.simulation.cluster import daemonset_tree, pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual


@virtual
async def test_a_daemonset_gets_what_the_quota_leaves() -> None:
    async with simulated(nodes=3) as cluster:
        await cluster.admin.create(PODS, pod_tree("first", "node-0"), "default")
        quota = {
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}},
        }  # fmt: skip
        await cluster.admin.create(RESOURCEQUOTAS, quota, "default")

        async def used(count: str) -> bool:
            tree = await cluster.tree(RESOURCEQUOTAS, "q", "default")
            return bool((tree.get("status") or {}).get("used") == {"pods": count})

        await cluster.until(lambda: used("1"), within_s=30, what="the pod is counted")
        await cluster.admin.create(DAEMONSETS, daemonset_tree("agent"), "default")
        await cluster.until(lambda: used("3"), within_s=30, what="the quota is spent")
        assert len(await cluster.pods()) == 3
        failed = await cluster.events("FailedCreate")
        assert (
            "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"
            in (failed[0]["message"])
        )
        await cluster.admin.delete(PODS, "first", "default")
        await cluster.until_rolled_out("agent")
        assert await used("3")
