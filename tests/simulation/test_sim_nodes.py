"""What happens to nodes and their pods over hours: spec node-lifecycle, sections 3 to 8 and 14."""

from datetime import timedelta
from itertools import pairwise

import pytest

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import DAEMONSETS, LEASES, NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.client.client import PatchKind
from kubeherd.simulation.cluster import (
    SimulatedCluster,
    daemonset_tree,
    is_ready,
    pod_tree,
    simulated,
)
from kubeherd.simulation.virtualtime import virtual

UNREACHABLE = "node.kubernetes.io/unreachable"


def taints(node: Node) -> set[tuple[str, str]]:
    return {(taint.key, taint.effect) for taint in node.spec.taints}


async def pod(cluster: SimulatedCluster, name: str) -> Pod:
    return await cluster.admin.get(PODS, Pod, name, "default")


async def until_unknown(cluster: SimulatedCluster, name: str) -> float:
    async def unknown() -> bool:
        return not is_ready((await cluster.nodes())[name])

    return await cluster.until(unknown, within_s=70, what=f"{name} is no longer Ready")


@virtual
async def test_a_silent_node_turns_unknown_after_its_grace_period_and_no_sooner() -> None:
    async with simulated(nodes=3) as cluster:
        await cluster.clock.sleep(30)
        killed_s = cluster.now_s
        await cluster.kill("node-1")
        silent_s = await until_unknown(cluster, "node-1") - killed_s
        assert (
            39 <= silent_s <= 56
        )  # 50 s after the last heartbeat (at most 10.4 s old), 5 s passes
        node = (await cluster.nodes())["node-1"]
        assert {(c.type, c.status, c.reason) for c in node.status.conditions} == {
            (type_, "Unknown", "NodeStatusUnknown")
            for type_ in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
        }
        assert [e["message"] for e in await cluster.events("NodeNotReady")] == [
            "Node node-1 status is now: NodeNotReady"
        ]

        async def tainted() -> bool:
            wanted = {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
            return taints((await cluster.nodes())["node-1"]) == wanted

        await cluster.until(tainted, within_s=10)


@virtual
async def test_the_timeline_of_a_dead_node_and_its_return() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.admin.create(PODS, pod_tree("plain", "node-1"), "default")
        await cluster.until_rolled_out("agent")

        async def running() -> bool:
            return (await pod(cluster, "plain")).ready

        await cluster.until(running, within_s=10)
        agents = {p.spec.node_name: p for p in await cluster.pods() if p.metadata.labels}
        await cluster.kill("node-1")
        silent_s = await until_unknown(cluster, "node-1")

        async def marked() -> bool:
            pods = [p for p in await cluster.pods() if p.spec.node_name == "node-1"]
            return len(pods) == 2 and not any(p.ready for p in pods)

        await cluster.until(marked, within_s=10)
        assert (await pod(cluster, "plain")).status.phase == "Running"

        async def evicted() -> bool:
            return (await pod(cluster, "plain")).metadata.deletion_timestamp is not None

        evicted_s = await cluster.until(evicted, within_s=400)
        assert 299 <= evicted_s - silent_s <= 320
        condition = (await pod(cluster, "plain")).status.condition("DisruptionTarget")
        assert condition is not None
        assert condition.reason == "DeletionByTaintManager"

        await cluster.clock.sleep(3600 + 300)  # longer than anything that is kept for a time
        kept = {p.metadata.name: p for p in await cluster.pods()}
        assert kept["plain"].metadata.deletion_timestamp is not None
        own = agents["node-1"].metadata
        assert kept[own.name].metadata.uid == own.uid
        assert kept[own.name].metadata.deletion_timestamp is None

        cluster.start("node-1")
        await cluster.until_ready("node-1")

        async def finished() -> bool:
            pods = {p.metadata.name: p for p in await cluster.pods()}
            return "plain" not in pods and pods[own.name].ready

        await cluster.until(finished, within_s=60)
        after = await pod(cluster, own.name)
        assert after.metadata.uid == own.uid
        assert after.status.container_statuses[0]["restartCount"] == 0

        async def untainted() -> bool:
            return not taints((await cluster.nodes())["node-1"])

        await cluster.until(untainted, within_s=10)


@virtual
async def test_when_every_node_is_silent_nothing_is_evicted() -> None:
    async with simulated(nodes=3) as cluster:
        await cluster.admin.create(PODS, pod_tree("plain", "node-1"), "default")
        await cluster.clock.sleep(5)
        for name in ("node-0", "node-1", "node-2"):
            await cluster.kill(name)
        await cluster.clock.sleep(1000)
        nodes = await cluster.nodes()
        assert all(taints(node) == {(UNREACHABLE, "NoSchedule")} for node in nodes.values())
        assert (await pod(cluster, "plain")).metadata.deletion_timestamp is None


@virtual
async def test_no_execute_taints_are_limited_per_zone() -> None:
    names = [f"node-{index}" for index in range(8)]
    async with simulated(nodes=0) as cluster:
        for name in names:
            cluster.start_node(name, labels={"topology.kubernetes.io/zone": "a"})
        await cluster.until_ready(*names)
        for name in names[:3]:
            await cluster.kill(name)
        first_s = await cluster.until(lambda: evictions(cluster, 1), within_s=80)
        third_s = await cluster.until(lambda: evictions(cluster, 3), within_s=80)
        assert 18 <= third_s - first_s <= 26  # one at once, then one in 10 s


async def evictions(cluster: SimulatedCluster, count: int) -> bool:
    nodes = await cluster.nodes()
    return sum((UNREACHABLE, "NoExecute") in taints(node) for node in nodes.values()) >= count


@virtual
async def test_a_mostly_silent_small_zone_is_not_evicted() -> None:
    names = [f"node-{index}" for index in range(6)]
    async with simulated(nodes=names) as cluster:
        cluster.partition(*names[:4])  # 4 of 6: partial disruption, zone of at most 50: rate 0
        await cluster.clock.sleep(600)
        assert not await evictions(cluster, 2)
        cluster.heal()
        await cluster.until_ready(*names, within_s=60)


@virtual
async def test_pods_of_a_deleted_node_are_collected_and_the_running_kubelet_does_not_return() -> (
    None
):
    async with simulated(nodes=3) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        await cluster.kill("node-2")
        await cluster.admin.delete(NODES, "node-2")
        deleted_s = cluster.now_s

        async def collected() -> bool:
            return all(p.spec.node_name != "node-2" for p in await cluster.pods())

        collected_s = await cluster.until(collected, within_s=120)
        assert 40 <= collected_s - deleted_s <= 85
        with pytest.raises(NotFound):
            await cluster.tree(LEASES, "node-2", "kube-node-lease")

        await cluster.admin.delete(NODES, "node-1")
        await cluster.clock.sleep(300)
        assert set(await cluster.nodes()) == {"node-0"}
        await cluster.kill("node-1")
        cluster.start("node-1")
        await cluster.until_ready("node-1")
        await cluster.until_rolled_out("agent")
        assert sorted(p.spec.node_name for p in await cluster.pods()) == ["node-0", "node-1"]


@virtual
async def test_a_node_that_was_rebooted_restarts_its_containers_in_the_same_pods() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        before = {p.spec.node_name: p for p in await cluster.pods()}
        await cluster.kill("node-1")
        cluster.start_node("node-1", reboot=True)

        async def restarted() -> bool:
            (status,) = (
                await pod(cluster, before["node-1"].metadata.name)
            ).status.container_statuses
            return status["restartCount"] == 1 and status["ready"]

        await cluster.until(restarted, within_s=60)
        after = await pod(cluster, before["node-1"].metadata.name)
        assert after.metadata.uid == before["node-1"].metadata.uid
        assert "terminated" in after.status.container_statuses[0]["lastState"]
        assert await cluster.events("Rebooted")


@virtual
async def test_leases_are_renewed_every_ten_seconds() -> None:
    async with simulated(nodes=1) as cluster:
        seen = set()
        for _ in range(60):
            lease = await cluster.tree(LEASES, "node-0", "kube-node-lease")
            seen.add(lease["spec"]["renewTime"])
            await cluster.clock.sleep(1)
        moments = sorted(map(parse_time, seen))
        gaps = [later - sooner for sooner, later in pairwise(moments)]
        assert len(gaps) >= 4
        assert all(timedelta(seconds=9.9) <= gap <= timedelta(seconds=11) for gap in gaps)
        assert lease["spec"]["leaseDurationSeconds"] == 40


@virtual
async def test_a_cordoned_node_keeps_its_daemon_and_gets_new_ones() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.patch(
            NODES, "node-1", {"spec": {"unschedulable": True}}, kind=PatchKind.MERGE
        )

        async def tainted() -> bool:
            wanted = {("node.kubernetes.io/unschedulable", "NoSchedule")}
            return taints((await cluster.nodes())["node-1"]) == wanted

        await cluster.until(tainted, within_s=10)
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        assert len(await cluster.pods()) == 2
