from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.simulation.cluster import daemonset_tree, simulated
from kubeherd.simulation.virtualtime import virtual


@virtual
async def test_one_pod_per_node() -> None:
    async with simulated(nodes=3) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        assert sorted(p.spec.node_name for p in await cluster.pods()) == [
            "node-0",
            "node-1",
            "node-2",
        ]
