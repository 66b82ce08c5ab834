"""Pods and rollouts over long times: back-off caps, failed daemons, surge, minReadySeconds."""

from itertools import pairwise

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import ControllerRevision, Pod
from kubeherd.cluster.client.client import PatchKind
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual


def image_patch(image: str) -> JsonObject:
    containers = [{"name": "main", "image": image}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


async def set_image(cluster: SimulatedCluster, image: str, name: str = "agent") -> None:
    await cluster.admin.patch(DAEMONSETS, name, image_patch(image), "default")


async def container_status(cluster: SimulatedCluster, name: str) -> JsonObject:
    pod = await cluster.admin.get(PODS, Pod, name, "default")
    return pod.status.container_statuses[0] if pod.status.container_statuses else {"state": {}}


@virtual
async def test_crash_loop_back_off_doubles_up_to_five_minutes() -> None:
    async with simulated(nodes=1) as cluster:
        annotations = {"kubeherd.io/crash-after-seconds": "1"}
        await cluster.admin.create(
            PODS, pod_tree("web", "node-0", annotations=annotations), "default"
        )
        starts: list[float] = []
        for _ in range(1300):
            await cluster.clock.sleep(1)
            status = await container_status(cluster, "web")
            if status["restartCount"] > len(starts):
                starts.append(cluster.now_s)
        gaps = [round(later - sooner) for sooner, later in pairwise(starts)]
        for gap, wanted in zip(gaps, [11, 21, 41, 81, 161, 301, 301], strict=False):
            assert wanted - 1 <= gap <= wanted + 3, gaps
        assert len(gaps) >= 7
        assert status["state"]["waiting"]["reason"] in ("CrashLoopBackOff",)
        assert status["state"]["waiting"]["message"].startswith(
            "back-off 5m0s restarting failed container=main pod=web_default("
        )


@virtual
async def test_an_image_that_does_not_exist_is_tried_again_with_back_off() -> None:
    async with simulated(nodes=1) as cluster:
        pod = pod_tree("web", "node-0")
        pod["spec"]["containers"][0]["image"] = "registry.example/nonexistent:1"
        await cluster.admin.create(PODS, pod, "default")

        async def backing_off() -> bool:
            state = (await container_status(cluster, "web"))["state"]
            return state.get("waiting", {}).get("reason") == "ImagePullBackOff"

        await cluster.until(backing_off, within_s=30)
        await cluster.clock.sleep(1800)
        (event,) = [
            e for e in await cluster.events("Failed") if e["message"].startswith("Failed to pull")
        ]
        # at most after 10, 20, 40, 80, 160, 300, 300, ... s; the event spam filter hides some
        assert 4 <= event["count"] <= 12


@virtual
async def test_failed_daemons_are_replaced_with_growing_delays_up_to_fifteen_minutes() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.kill("controller-manager")
        cluster.start_manager("*,-scheduler")  # so that the test alone decides their fate
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        created: dict[str, float] = {}
        while cluster.now_s < 1023 + 3 * 900 + 100:
            # the first gaps are seconds, the last a quarter of an hour
            await cluster.clock.sleep(1 if cluster.now_s < 100 else 4)
            for pod in await cluster.pods():
                if pod.metadata.name not in created:
                    created[pod.metadata.name] = cluster.now_s
                    await fail(cluster, pod.metadata.name)
        gaps = [round(later - sooner) for sooner, later in pairwise(created.values())]
        assert all(later >= sooner - 4 for sooner, later in pairwise(gaps)), gaps
        assert all(895 <= gap <= 910 for gap in gaps[-2:]), gaps
        assert gaps[0] <= 4, gaps


async def fail(cluster: SimulatedCluster, name: str) -> None:
    status = {"status": {"phase": "Failed"}}
    await cluster.admin.patch(
        PODS, name, status, "default", kind=PatchKind.MERGE, subresource="status"
    )


@virtual
async def test_a_rolling_update_waits_for_min_ready_seconds_on_every_node() -> None:
    async with simulated(nodes=3) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(minReadySeconds=30), "default")
        await cluster.until_rolled_out("agent", within_s=60)
        start_s = cluster.now_s
        await set_image(cluster, "agent:2")
        await cluster.until_rolled_out("agent", within_s=200)
        assert 90 <= cluster.now_s - start_s <= 110  # one node after the other


@virtual
async def test_surge_never_leaves_a_node_without_an_available_pod() -> None:
    async with simulated(nodes=4) as cluster:
        strategy = {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}
        annotations = {"kubeherd.io/ready-delay-seconds": "5"}
        await cluster.admin.create(
            DAEMONSETS,
            daemonset_tree(updateStrategy=strategy, annotations=annotations),
            "default",
        )
        await cluster.until_rolled_out("agent")
        await set_image(cluster, "agent:2")
        for _ in range(400):
            await cluster.clock.sleep(0.1)
            ready = {p.spec.node_name for p in await cluster.pods() if p.ready}
            assert len(ready) == 4
        await cluster.until_rolled_out("agent", within_s=1)


@virtual
async def test_a_surging_rollout_goes_on_although_pods_become_available_one_after_the_other() -> (
    None
):
    """Several delays of one key: the queue keeps the earliest, the others must not be lost."""
    async with simulated(seed=2, nodes=3) as cluster:
        strategy = {"rollingUpdate": {"maxSurge": "20%", "maxUnavailable": 0}}
        daemonset = daemonset_tree(
            minReadySeconds=10,
            updateStrategy=strategy,
            annotations={"kubeherd.io/prestop-seconds": "15"},
        )
        probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 7, "periodSeconds": 3}
        daemonset["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
        await cluster.admin.create(DAEMONSETS, daemonset, "default")
        await cluster.until_rolled_out("agent")
        await set_image(cluster, "agent:2")
        for after_s in (1, 4):  # two old pods go early: their nodes get a second new pod at once
            await cluster.clock.sleep(after_s)
            old = [
                pod
                for pod in await cluster.pods()
                if pod.spec.containers[0].image == "agent:1"
                and pod.metadata.deletion_timestamp is None
            ]
            await cluster.admin.delete(PODS, old[1].metadata.name, "default")
        await cluster.until_rolled_out("agent", within_s=90)


@virtual
async def test_a_dead_node_does_not_stop_a_rollout_of_the_others_within_its_budget() -> None:
    async with simulated(nodes=4) as cluster:
        strategy = {"rollingUpdate": {"maxUnavailable": 2}}
        await cluster.admin.create(DAEMONSETS, daemonset_tree(updateStrategy=strategy), "default")
        await cluster.until_rolled_out("agent")
        await cluster.kill("node-0")
        await cluster.clock.sleep(120)
        await set_image(cluster, "agent:2")

        async def others_updated() -> bool:
            images = {
                p.spec.node_name: p.spec.containers[0].image
                for p in await cluster.pods()
                if p.ready
            }
            return images == dict.fromkeys(("node-1", "node-2", "node-3"), "agent:2")

        await cluster.until(others_updated, within_s=60)
        await cluster.admin.delete(NODES, "node-0")
        await cluster.until_rolled_out("agent", within_s=120)


@virtual
async def test_rolling_back_raises_the_number_of_the_earlier_revision() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        await set_image(cluster, "agent:2")
        await cluster.until_rolled_out("agent")
        await set_image(cluster, "agent:1")
        await cluster.until_rolled_out("agent")
        listed = await cluster.admin.list(CONTROLLERREVISIONS, ControllerRevision, "default")
        by_image = {
            revision.data["spec"]["template"]["spec"]["containers"][0]["image"]: revision.revision
            for revision in listed.items
        }
        assert by_image == {"agent:1": 3, "agent:2": 2}


@virtual
async def test_events_are_forgotten_after_an_hour() -> None:
    async with simulated(nodes=1) as cluster:

        async def registered() -> bool:
            return bool(await cluster.events("RegisteredNode"))

        await cluster.until(registered, within_s=30)
        await cluster.clock.sleep(3600 + 120)
        assert not await cluster.events("RegisteredNode")
