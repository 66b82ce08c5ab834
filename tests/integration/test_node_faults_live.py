"""Agents and the controller manager carry out faults: nodes of one process are hurt one by one."""

import asyncio
import json
from collections.abc import Callable

import pytest
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES
from kubeherd.faults import Component, Fault, Nodes, effects
from kubeherd.faults.effects import Effect

NAMES = [f"node-{number}" for number in range(10)]


async def hurt(herd: Herd, effect: Effect, *names: str) -> str:
    """Begin a fault of nodes; its id."""
    fault = Fault(id=f"{effect.kind}-{names[0]}", target=Nodes(names), effect=effect)
    await asyncio.to_thread(herd.handle.hurt, fault)
    return fault.id


async def undo(herd: Herd, *ids: str) -> None:
    await asyncio.to_thread(herd.handle.undo, *ids)


async def until_logged(herd: Herd, event: str, times: int) -> None:
    """Until the controller manager has logged it so many times."""
    path = herd.handle.rundir.log("controller-manager")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            logged = [json.loads(line).get("event") for line in path.read_text().splitlines()]
            if logged.count(event) >= times:
                return
            await asyncio.sleep(0.05)


@pytest.mark.kubeherd(nodes=10, nodes_per_agent=10, speed=20)
async def test_one_node_of_a_fleet_suffers_and_a_manager_acts_without_its_lease(
    herd: Herd, daemonset: Callable[..., JsonObject]
) -> None:
    two = Fault(id="two", target=Component("controller-manager"), effect=effects.TwoLeaders())
    await asyncio.to_thread(herd.handle.hurt, two)
    await until_logged(herd, "acting_without_lease", 1)
    await herd.apply(daemonset("web"))
    await herd.until_running("web", *NAMES)

    await undo(herd, "two")
    await until_logged(herd, "leading", 2)

    cut = await hurt(herd, effects.Partition(), "node-3")
    dead = await hurt(herd, effects.Crash(), "node-4")
    silent = await hurt(herd, effects.HeartbeatLoss(), "node-5")
    lame = await hurt(herd, effects.PodUnready(selector="app=web"), "node-6")
    suffering = {"node-3", "node-4", "node-5"}
    await herd.until(
        lambda: set(NAMES) - herd.view.ready_nodes() == suffering, "three nodes are silent"
    )
    unready = suffering | {"node-6"}
    await herd.until(
        lambda: set(herd.ready_on("web")) == set(NAMES) - unready,
        "theirs are the pods that are not",
    )

    before = await herd.client.request("GET", NODES.path(name="node-7"))
    await hurt(herd, effects.Reboot(), "node-7")
    await undo(herd, cut, dead, silent, lame)
    await herd.until(lambda: herd.view.ready_nodes() == set(NAMES), "all nodes are back")
    await herd.until_running("web", *NAMES)

    async def boot_id() -> str:
        node = await herd.client.request("GET", NODES.path(name="node-7"))
        return str(node["status"]["nodeInfo"]["bootID"])

    assert await boot_id() != before["status"]["nodeInfo"]["bootID"]
    statuses = {p.spec.node_name: p.status.container_statuses[0] for p in herd.pods("web")}
    restarted = [name for name, status in statuses.items() if status["restartCount"]]
    assert restarted == ["node-7"]
