"""Rollout controls on a whole cluster (docs/rollout-controls.md): held, told once, let go."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES
from kubeherd.cluster.client.client import PatchKind
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, simulated
from kubeherd.simulation.virtualtime import virtual

PREFIX = "kubeherd.io/rollout-"


async def begin(cluster: SimulatedCluster, update: JsonObject | None = None) -> None:
    strategy = {"rollingUpdate": update or {"maxUnavailable": "100%"}}
    tree = daemonset_tree(updateStrategy=strategy)
    await cluster.admin.create(DAEMONSETS, tree, "default")
    await cluster.until_rolled_out("agent")


async def control(cluster: SimulatedCluster, **values: str | None) -> None:
    annotations = {PREFIX + name.replace("_", "-"): value for name, value in values.items()}
    patch = {"metadata": {"annotations": annotations}}
    await cluster.admin.patch(DAEMONSETS, "agent", patch, "default", kind=PatchKind.MERGE)


async def set_image(cluster: SimulatedCluster, image: str) -> None:
    containers = [{"name": "main", "image": image}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    await cluster.admin.patch(DAEMONSETS, "agent", patch, "default")


async def images(cluster: SimulatedCluster) -> dict[str, str]:
    """Image by node."""
    return {p.spec.node_name: p.spec.containers[0].image for p in await cluster.pods()}


async def updated(cluster: SimulatedCluster, image: str) -> int:
    return list((await images(cluster)).values()).count(image)


async def held(cluster: SimulatedCluster) -> list[tuple[str, int]]:
    """Messages of the RolloutHeld events with their counts."""
    events = await cluster.events("RolloutHeld")
    return [(event["message"], event["count"]) for event in events]


@virtual
async def test_partition_keeps_so_many_old_pods_and_kubectl_waits() -> None:
    async with simulated(nodes=5) as cluster:
        await begin(cluster)
        await control(cluster, partition="60%")
        await set_image(cluster, "agent:2")
        await cluster.clock.sleep(60)
        assert await updated(cluster, "agent:2") == 2
        daemonset = await cluster.daemonset("agent")
        status = daemonset.status
        # What `kubectl rollout status` reads: observed, and fewer updated than desired.
        assert status.observed_generation == daemonset.metadata.generation
        assert (status.updated_number_scheduled, status.desired_number_scheduled) == (2, 5)
        assert status.number_available == 5
        assert await held(cluster) == [
            (f"3 pods are kept at an old revision ({PREFIX}partition)", 1)
        ]
        await control(cluster, partition="1")
        await cluster.clock.sleep(30)
        assert await updated(cluster, "agent:2") == 4
        await control(cluster, partition="4")
        await cluster.clock.sleep(30)
        assert await updated(cluster, "agent:2") == 4, "a larger partition takes nothing back"
        await control(cluster, partition=None)
        await cluster.until_rolled_out("agent")
        assert await updated(cluster, "agent:2") == 5


@virtual
async def test_paused_in_the_middle_and_a_new_manager_does_not_repeat_itself() -> None:
    async with simulated(nodes=4) as cluster:
        await begin(cluster, {"maxUnavailable": 1})
        await control(cluster, paused="true")
        await set_image(cluster, "agent:2")
        await cluster.clock.sleep(30)
        assert await updated(cluster, "agent:2") == 0
        message = f"the rollout is paused ({PREFIX}paused)"
        assert await held(cluster) == [(message, 1)]
        await cluster.kill("controller-manager")
        cluster.start("controller-manager")
        await cluster.clock.sleep(60)
        assert await held(cluster) == [(message, 1)], "told again by the next manager"
        await control(cluster, paused="false")
        await cluster.until_rolled_out("agent")


@virtual
async def test_canaries_by_node_selector() -> None:
    async with simulated(nodes=3) as cluster:
        await begin(cluster)
        canary = {"metadata": {"labels": {"tier": "canary"}}}
        await cluster.admin.patch(NODES, "node-1", canary, kind=PatchKind.MERGE)
        await control(cluster, selector="tier=canary")
        await set_image(cluster, "agent:2")
        await cluster.clock.sleep(30)
        assert [n for n, i in (await images(cluster)).items() if i == "agent:2"] == ["node-1"]
        hold = f"the remaining nodes do not match the node selector ({PREFIX}selector)"
        assert await held(cluster) == [(hold, 1)]
        await cluster.admin.patch(NODES, "node-2", canary, kind=PatchKind.MERGE)
        await cluster.clock.sleep(10)
        assert await updated(cluster, "agent:2") == 2
        await control(cluster, selector=None)
        await cluster.until_rolled_out("agent")


@virtual
async def test_progress_waits_until_updated_pods_have_been_available_for_a_time() -> None:
    async with simulated(nodes=3) as cluster:
        await begin(cluster, {"maxUnavailable": 1})
        await control(cluster, progress_hold_seconds="60")
        start_s = cluster.now_s
        await set_image(cluster, "agent:2")
        seen: list[float] = []
        while len(seen) < 3:
            await cluster.clock.sleep(1)
            if await updated(cluster, "agent:2") > len(seen):
                seen.append(cluster.now_s - start_s)
            assert cluster.now_s - start_s < 300
        assert 59 <= seen[1] - seen[0] <= 66
        assert 59 <= seen[2] - seen[1] <= 66
        await cluster.until_rolled_out("agent")


@virtual
async def test_an_unreadable_control_holds_and_warns() -> None:
    async with simulated(nodes=2) as cluster:
        await begin(cluster)
        await control(cluster, partition="many")
        await set_image(cluster, "agent:2")
        await cluster.clock.sleep(30)
        assert await updated(cluster, "agent:2") == 0
        [event] = await cluster.events("InvalidRolloutControl")
        assert event["type"] == "Warning"
        await control(cluster, partition=None)
        await cluster.until_rolled_out("agent")
