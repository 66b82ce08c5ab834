"""Frozen components: silent, but not gone; what waits for them waits; thawed, they go on."""

import asyncio

import pytest

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, LEASES, NODES
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.client.transport import TransportError
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, simulated
from kubeherd.simulation.virtualtime import EPOCH, PROCESS, VirtualLoop, virtual

UNREACHABLE = "node.kubernetes.io/unreachable"
LONGEST_REPORT_S = 470
"""A Node reports after 150 to 450 s that nothing has changed."""


async def taints(cluster: SimulatedCluster, node: str) -> set[str]:
    return {taint.key for taint in (await cluster.nodes())[node].spec.taints}


async def holder(cluster: SimulatedCluster) -> str:
    lease = await cluster.tree(LEASES, "kube-controller-manager", "kube-system")
    name: str = lease["spec"]["holderIdentity"]
    return name.partition("_")[0]


@virtual
async def test_a_frozen_node_is_tainted_after_its_grace_period_and_comes_back() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        before = {p.metadata.uid for p in await cluster.pods()}
        cluster.freeze("node-1")
        silent_s = cluster.now_s
        await cluster.clock.sleep(38)
        assert not await taints(cluster, "node-1")

        async def tainted() -> bool:
            return UNREACHABLE in await taints(cluster, "node-1")

        assert 40 <= await cluster.until(tainted, within_s=30) - silent_s <= 60
        await cluster.clock.sleep(600)
        assert await tainted()
        cluster.thaw("node-1")

        async def clean() -> bool:
            return not await taints(cluster, "node-1")

        await cluster.until(clean, within_s=15)
        await cluster.until_rolled_out("agent")
        assert {p.metadata.uid for p in await cluster.pods()} == before


@virtual
async def test_a_frozen_leader_is_succeeded_and_does_not_lead_when_it_wakes() -> None:
    async with simulated(nodes=2, managers=2) as cluster:
        await cluster.clock.sleep(5)
        first = await holder(cluster)
        cluster.freeze(first)
        assert cluster.processes[first].alive

        async def succeeded() -> bool:
            return await holder(cluster) != first

        await cluster.until(succeeded, within_s=40)
        second = await holder(cluster)
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        cluster.thaw(first)
        await cluster.clock.sleep(60)
        assert await holder(cluster) == second
        assert len(await cluster.pods()) == 2
        await cluster.kill(second)

        async def back() -> bool:
            return await holder(cluster) == first

        await cluster.until(back, within_s=40)


@virtual
async def test_requests_to_a_frozen_server_wait_until_it_is_thawed_or_time_is_over() -> None:
    async with simulated(nodes=1) as cluster:
        cluster.freeze("apiserver")
        begun_s = cluster.now_s
        asked = asyncio.create_task(cluster.nodes())
        with pytest.raises(TransportError, match="timed out"):
            await cluster.admin.request("GET", "/api/v1/nodes", timeout_s=5)
        assert cluster.now_s - begun_s == pytest.approx(5)
        await cluster.clock.sleep(3)
        assert not asked.done()
        cluster.thaw("apiserver")
        assert set(await asked) == {"node-0"}
        assert cluster.now_s - begun_s == pytest.approx(8, abs=0.1)


@virtual
async def test_what_a_client_gave_up_is_not_written_by_the_server_that_wakes() -> None:
    async with simulated(nodes=0) as cluster:
        cluster.freeze("apiserver")
        with pytest.raises(TransportError):
            await cluster.admin.request(
                "POST", "/api/v1/namespaces", body={"metadata": {"name": "late"}}, timeout_s=5
            )
        cluster.thaw("apiserver")
        await cluster.clock.sleep(5)
        listed = await cluster.admin.request("GET", "/api/v1/namespaces")
        assert "late" not in {item["metadata"]["name"] for item in listed["items"]}


@virtual
async def test_a_watch_of_a_frozen_server_is_silent_and_goes_on() -> None:
    async with simulated(nodes=1, portable=True) as cluster:
        cluster.freeze("apiserver")
        await cluster.clock.sleep(20)
        cluster.thaw("apiserver")
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")


@virtual
async def test_frozen_components_can_be_killed_and_started_again() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        for name in ("node-1", "apiserver", "controller-manager"):
            cluster.freeze(name)
            await cluster.clock.sleep(20)
            await cluster.kill(name)
            assert not cluster.processes[name].alive
            cluster.start(name)
        await cluster.until_rolled_out("agent")


@virtual
async def test_what_is_killed_asks_for_nothing_any_more() -> None:
    async with simulated(nodes=1) as cluster:
        await cluster.clock.sleep(30)
        before = cluster.network.requests
        await cluster.kill("node-0")
        await cluster.kill("controller-manager")
        await cluster.clock.sleep(100)
        assert cluster.network.requests == before


@virtual
async def test_callbacks_come_in_order_and_timers_are_due_at_the_thaw() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    ran: list[tuple[str, float]] = []

    def note(what: str) -> None:
        ran.append((what, loop.time()))

    token = PROCESS.set("frozen")
    loop.call_later(2, note, "second")
    loop.call_later(1, note, "first")
    cancelled = loop.call_later(1.5, note, "cancelled")
    PROCESS.reset(token)
    loop.call_later(3, note, "other")
    loop.freeze("frozen")
    await asyncio.sleep(10)
    cancelled.cancel()
    assert ran == [("other", 3)]
    loop.thaw("frozen")
    await asyncio.sleep(0)
    assert ran == [("other", 3), ("first", 10), ("second", 10)]


@virtual
async def test_the_clock_of_a_node_is_wrong_and_the_others_judge_by_their_own() -> None:
    async with simulated(nodes=2) as cluster:
        cluster.skew("node-1", 3600)
        await cluster.clock.sleep(LONGEST_REPORT_S)
        renewed = await heartbeat(cluster, "node-1")
        ahead_s = (parse_time(renewed) - EPOCH).total_seconds() - cluster.now_s
        assert 3585 <= ahead_s <= 3600
        assert not await taints(cluster, "node-1")
        reported = ready_heartbeat(await cluster.tree(NODES, "node-1"))
        assert (parse_time(reported) - EPOCH).total_seconds() > 3600
        cluster.freeze("node-1")
        await cluster.clock.sleep(61)
        assert UNREACHABLE in await taints(cluster, "node-1")
        cluster.thaw("node-1")
        cluster.skew("node-1", -3600)
        await cluster.clock.sleep(60)
        assert parse_time(await heartbeat(cluster, "node-1")) < EPOCH
        assert not await taints(cluster, "node-1")


async def heartbeat(cluster: SimulatedCluster, node: str) -> str:
    lease = await cluster.tree(LEASES, node, "kube-node-lease")
    renewed: str = lease["spec"]["renewTime"]
    return renewed


def ready_heartbeat(node: JsonObject) -> str:
    [ready] = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
    told: str = ready["lastHeartbeatTime"]
    return told


@virtual
async def test_a_short_history_makes_those_who_fall_behind_list_again() -> None:
    async with simulated(nodes=1, max_history_events=20) as cluster:
        first = await cluster.admin.request("GET", "/api/v1/nodes")
        await cluster.clock.sleep(300)
        query = {"watch": "1", "poll": "1", "timeoutSeconds": "1"}
        query["resourceVersion"] = first["metadata"]["resourceVersion"]
        with pytest.raises(Expired):
            await cluster.admin.request("GET", "/api/v1/nodes", query=query)
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
