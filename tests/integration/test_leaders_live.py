"""Several controller managers as processes: one leads, a frozen one is succeeded, harmlessly."""

import asyncio
import signal
from collections.abc import Callable

import pytest
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.api.objects import Lease
from kubeherd.cluster.cli.status import read_status
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.state import ProcessState

pytestmark = pytest.mark.integration


async def leaders(herd: Herd) -> list[str]:
    """Who leads, as `kubeherd status` shows it."""
    document = await asyncio.to_thread(read_status, herd.handle.rundir)
    return [one["name"] for one in document["processes"] if one["leads"]]


async def until_leads(herd: Herd, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        # the lease is looked at; nobody watches it
        while await leaders(herd) != [name]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def master_status(herd: Herd, name: str) -> str:
    """The metric of one manager."""
    answer = await herd.client.send("GET", f"/metrics/{name}")
    lines = answer.body.decode().splitlines()
    return next(line for line in lines if line.startswith("leader_election_master_status"))


@pytest.mark.kubeherd(controllers=2, speed=10)
async def test_a_frozen_leader_is_succeeded_and_wakes_harmless(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    names = {"controller-manager", "controller-manager-2"}
    (old,) = await leaders(herd)
    (new,) = names - {old}
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    process = herd.handle.process(old).process
    assert process is not None
    await herd.set_image("web", "app:2")
    await herd.until(
        lambda: herd.daemonset("web").status.updated_number_scheduled in (1, 2),
        "the rollout has begun",
    )
    assert osproc.send_signal(process, signal.SIGSTOP)

    await until_leads(herd, new)
    await herd.apply(daemonset("more"))
    await herd.until_running("more", "node-0", "node-1", "node-2")
    await herd.until_running("web", "node-0", "node-1", "node-2")
    made = {pod.metadata.uid for pod in herd.pods()}

    assert osproc.send_signal(process, signal.SIGCONT)
    async with asyncio.timeout(PATIENCE_S):
        while not (await master_status(herd, old)).endswith(" 0.0"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await master_status(herd, new)).endswith('{name="kube-controller-manager"} 1.0')
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.until_running("more", "node-0", "node-1", "node-2")
    assert {pod.metadata.uid for pod in herd.pods()} == made, "something was made or deleted"
    assert await leaders(herd) == [new]
    lease = await herd.client.get(LEASES, Lease, "kube-controller-manager", "kube-system")
    assert lease.spec.lease_transitions == 1
    states: dict[str, ProcessState] = {p.name: p for p in herd.handle.state().processes}
    assert [(states[name].restarts, states[name].ready) for name in names] == [(0, True)] * 2
    path = "/api/v1/namespaces/kube-system/events"
    events = await herd.client.request(
        "GET", path, query={"fieldSelector": "reason=LeaderElection"}
    )
    said = [event["message"].split(" ", 1)[1] for event in events["items"]]
    assert said.count("became leader") == 2

    await herd.crash(new)  # whoever is first now succeeds the dead one at once
    await herd.set_image("web", "app:3")
    await herd.until(
        lambda: {p.spec.containers[0].image for p in herd.pods("web")} == {"app:3"},
        "the new image everywhere",
    )
