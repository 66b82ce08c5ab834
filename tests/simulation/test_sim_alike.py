"""What the nodes of a cluster write about the pods of a workload is alike."""

from typing import Any
from unittest.mock import patch

from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.apiserver.write.short.writes import ShortWrites
from kubeherd.simulation.cluster import daemonset_tree, simulated
from kubeherd.simulation.virtualtime import virtual


@virtual
async def test_the_status_of_a_daemon_pod_is_made_from_a_template() -> None:
    put_alike, made = ShortWrites._put_alike, []

    def counted(*args: Any) -> Any:
        pending = put_alike(*args)
        made.append(pending is not None)
        return pending

    with patch.object(ShortWrites, "_put_alike", counted):
        async with simulated(nodes=10) as cluster:
            await cluster.admin.create(DAEMONSETS, daemonset_tree("agent"), "default")
            await cluster.clock.sleep(30)
    assert made.count(True) >= 5  # the others are the first two of each second
