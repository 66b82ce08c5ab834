"""Kubelets in trouble: pressure, critical pods, shutdown, restarts (spec 11 to 15)."""

from typing import Any

import pytest

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.client import PatchKind
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, pod_tree, simulated
from kubeherd.simulation.virtualtime import virtual


async def annotate(cluster: SimulatedCluster, node: str, **annotations: str | None) -> None:
    tree = {f"kubeherd.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    await cluster.admin.patch(
        NODES, node, {"metadata": {"annotations": tree}}, kind=PatchKind.MERGE
    )


async def create(cluster: SimulatedCluster, name: str, cpu: str = "", **spec: Any) -> None:
    tree = pod_tree(name, "node-0", **spec)
    if cpu:
        tree["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    await cluster.admin.create(PODS, tree, "default")


async def status(cluster: SimulatedCluster, name: str) -> JsonObject:
    tree = await cluster.tree(PODS, name, "default")
    found: JsonObject = tree["status"]
    return found


@virtual
async def test_pressure_evicts_one_pod_after_the_other_but_no_critical_one() -> None:
    async with simulated(nodes=1) as cluster:
        for name in ("a", "b"):
            await create(cluster, name)
        await create(cluster, "critical", priorityClassName="system-node-critical")
        await cluster.clock.sleep(2)
        await annotate(cluster, "node-0", memory_pressure="true")
        await cluster.clock.sleep(5)
        first = await status(cluster, "a")
        assert (first["phase"], first["reason"]) == ("Failed", "Evicted")
        assert first["message"].startswith("The node was low on resource: memory. ")
        condition = next(c for c in first["conditions"] if c["type"] == "DisruptionTarget")
        assert condition["reason"] == "TerminationByKubelet"
        assert (await status(cluster, "b"))["phase"] == "Running"
        await cluster.clock.sleep(10)
        assert (await status(cluster, "b"))["reason"] == "Evicted"
        await cluster.clock.sleep(60)
        assert (await status(cluster, "critical"))["phase"] == "Running"
        [event] = [e for e in await cluster.events("Evicted") if e["involvedObject"]["name"] == "a"]
        assert (event["type"], event["message"]) == ("Warning", first["message"])


@virtual
async def test_pressure_shown_as_condition_only_evicts_nobody() -> None:
    async with simulated(nodes=1) as cluster:
        await create(cluster, "a")
        await cluster.clock.sleep(2)
        await annotate(cluster, "node-0", disk_pressure="condition-only")
        await cluster.clock.sleep(60)
        node = (await cluster.nodes())["node-0"]
        assert any(c.type == "DiskPressure" and c.status == "True" for c in node.status.conditions)
        assert (await status(cluster, "a"))["phase"] == "Running"


@virtual
async def test_daemon_pods_of_a_node_under_pressure_come_back_when_it_is_over() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        await annotate(cluster, "node-0", disk_pressure="true")
        await cluster.clock.sleep(30)
        assert [p.spec.node_name for p in await cluster.pods() if p.ready] == ["node-1"]
        messages = {e["message"] for e in await cluster.events("Evicted")}
        assert "The node had condition: [DiskPressure]. " in messages, "refused at the door"
        assert any(message.startswith("The node was low on") for message in messages)
        await annotate(cluster, "node-0", disk_pressure=None)
        await cluster.until_rolled_out("agent", within_s=120)


@virtual
async def test_a_critical_pod_makes_room_for_itself_on_a_full_node() -> None:
    async with simulated(nodes=1) as cluster:
        await create(cluster, "big", cpu="6")
        await create(cluster, "small", cpu="1")
        await cluster.clock.sleep(2)
        await create(cluster, "refused", cpu="2")
        await create(cluster, "critical", cpu="2", priorityClassName="system-node-critical")
        await cluster.clock.sleep(40)
        assert (await status(cluster, "critical"))["phase"] == "Running"
        assert (await status(cluster, "small"))["phase"] == "Failed"
        assert (await status(cluster, "small"))["reason"] == "Preempting"
        assert (await status(cluster, "big"))["phase"] == "Running"
        assert (await status(cluster, "refused"))["reason"] == "OutOfcpu"
        [event] = await cluster.events("Preempting")
        assert event["message"] == "Preempted in order to admit critical pod"


@virtual
async def test_a_shutdown_ends_pods_in_order_and_refuses_new_ones() -> None:
    async with simulated(nodes=1) as cluster:
        slow = {"kubeherd.io/stop-delay-seconds": "5"}
        await create(cluster, "web", annotations=slow)
        await create(cluster, "critical", priorityClassName="system-cluster-critical")
        await cluster.clock.sleep(2)
        await annotate(cluster, "node-0", shutting_down="20")
        await cluster.clock.sleep(2)
        node = (await cluster.nodes())["node-0"]
        ready = next(c for c in node.status.conditions if c.type == "Ready")
        assert (ready.status, ready.message) == ("False", "node is shutting down")
        assert (await status(cluster, "critical"))["phase"] == "Running"
        await create(cluster, "late")
        await cluster.clock.sleep(8)
        for name in ("web", "critical"):
            ended = await status(cluster, name)
            assert (ended["phase"], ended["reason"]) == ("Failed", "Terminated"), name
            assert ended["message"] == "Pod was terminated in response to imminent node shutdown."
        assert (await status(cluster, "late"))["reason"] == "NodeShutdown"
        await annotate(cluster, "node-0", shutting_down=None)
        await cluster.until_ready("node-0")
        await create(cluster, "again")
        await cluster.clock.sleep(2)
        assert (await status(cluster, "again"))["phase"] == "Running"


@virtual
async def test_a_restarted_kubelet_refuses_what_no_longer_fits_its_node() -> None:
    """Its pods are admitted anew: a NoExecute taint that none tolerates ends them then."""
    async with simulated(nodes=1) as cluster:
        cluster.partition("controller-manager")  # nobody else evicts
        await create(cluster, "web")
        await cluster.clock.sleep(2)
        taint = {"spec": {"taints": [{"key": "dead", "effect": "NoExecute"}]}}
        await cluster.admin.patch(NODES, "node-0", taint, kind=PatchKind.MERGE)
        await cluster.clock.sleep(60)
        assert (await status(cluster, "web"))["phase"] == "Running", "a running kubelet does not"
        await cluster.kill("node-0")
        cluster.start_node("node-0")
        await cluster.clock.sleep(5)
        refused = await status(cluster, "web")
        assert (refused["phase"], refused["reason"]) == ("Failed", "TaintToleration")
        assert "containerStatuses" not in refused


@virtual
async def test_an_agent_restarted_after_its_node_was_deleted_begins_a_new_life() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        before = (await cluster.nodes())["node-0"].metadata.uid
        old = next(p for p in await cluster.pods() if p.spec.node_name == "node-0")
        await cluster.kill("node-0")
        await cluster.admin.delete(NODES, "node-0")
        await cluster.clock.sleep(5)
        cluster.start_node("node-0")
        await cluster.until_ready("node-0")
        assert (await cluster.nodes())["node-0"].metadata.uid != before
        # The pod was still in the API: the node is there again, so it is not collected.
        kept = await cluster.admin.get(PODS, Pod, old.metadata.name, "default")
        assert kept.status.start_time == old.status.start_time
        assert kept.status.pod_ip == old.status.pod_ip
        await cluster.until_rolled_out("agent")

        await cluster.kill("node-0")
        await cluster.admin.delete(NODES, "node-0")
        await cluster.clock.sleep(120)
        with pytest.raises(NotFound):
            await cluster.admin.get(PODS, Pod, old.metadata.name, "default")
        cluster.start_node("node-0")
        await cluster.until_ready("node-0")
        await cluster.clock.sleep(5)
        await cluster.until_rolled_out("agent")
        assert sorted(p.spec.node_name for p in await cluster.pods()) == ["node-0", "node-1"]


@virtual
async def test_a_daemon_pod_declared_failed_is_stopped_and_replaced() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        [pod] = await cluster.pods()
        await cluster.admin.patch(
            PODS,
            pod.metadata.name,
            {"status": {"phase": "Failed"}},
            "default",
            kind=PatchKind.MERGE,
            subresource="status",
        )
        await cluster.clock.sleep(10)
        [replaced] = await cluster.pods()
        assert replaced.metadata.uid != pod.metadata.uid
        assert replaced.ready


@virtual
async def test_a_plain_pod_declared_failed_stays_failed() -> None:
    async with simulated(nodes=1) as cluster:
        await create(cluster, "web")
        await cluster.clock.sleep(2)
        await cluster.admin.patch(
            PODS,
            "web",
            {"status": {"phase": "Failed"}},
            "default",
            kind=PatchKind.MERGE,
            subresource="status",
        )
        await cluster.clock.sleep(60)
        failed = await status(cluster, "web")
        assert failed["phase"] == "Failed"
        assert "terminated" in failed["containerStatuses"][0]["state"]
