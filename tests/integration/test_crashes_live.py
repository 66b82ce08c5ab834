"""kill -9 at bad moments: no acknowledged write is lost, nothing runs twice, pods converge."""

import asyncio
import signal
from collections.abc import Callable

import pytest
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.errors import AlreadyExists, ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.state import ProcessState

pytestmark = pytest.mark.integration


class Writer:
    """Creates ConfigMaps one after the other and remembers what was acknowledged."""

    def __init__(self, herd: Herd, name: str) -> None:
        self._herd = herd
        self._name = name
        self.acknowledged: dict[str, str] = {}

    async def write(self) -> None:
        number = 0
        while True:
            name = f"{self._name}-{number}"
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "default"},
                "data": {"number": str(number)},
            }
            try:
                created = await self._herd.client.create(CONFIGMAPS, body)
            except AlreadyExists:
                number += 1  # it was written, only the answer was lost
            except (TransportError, ApiError):
                await asyncio.sleep(0.01)
            else:
                self.acknowledged[name] = created["metadata"]["resourceVersion"]
                number += 1


async def test_api_server_killed_during_writes(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    writers = [Writer(herd, f"writer-{number}") for number in range(4)]
    tasks = [asyncio.create_task(writer.write()) for writer in writers]
    for _ in range(3):
        await herd.crash(Role.APISERVER)
        before = sum(len(writer.acknowledged) for writer in writers)
        async with asyncio.timeout(60):
            # the writers go on by themselves; there is no event to wait for
            while sum(len(w.acknowledged) for w in writers) < before + 40:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    listed = (await herd.client.list(CONFIGMAPS, PartialObject, "default")).items
    stored = {item.metadata.name: item.metadata.resource_version for item in listed}
    acknowledged = {n: v for writer in writers for n, v in writer.acknowledged.items()}
    assert acknowledged.items() <= stored.items()
    uids = {item.metadata.uid for item in listed}
    assert len(uids) == len(listed), "a uid was given out twice"
    assert len(set(acknowledged.values())) == len(acknowledged), "a revision was given out twice"
    await herd.until_running("web", "node-0", "node-1", "node-2")


async def test_controller_manager_killed_during_a_rollout(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    await herd.apply(daemonset("web", "app:1"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    await herd.set_image("web", "app:2")
    await herd.until(
        lambda: herd.daemonset("web").status.updated_number_scheduled in (1, 2),
        "the rollout has begun",
    )
    await herd.crash(Role.CONTROLLER_MANAGER)
    await herd.until(
        lambda: {p.spec.containers[0].image for p in herd.pods("web")} == {"app:2"},
        "the new image everywhere",
    )
    await herd.until_running("web", "node-0", "node-1", "node-2")


async def test_agent_killed_takes_its_node_and_pods_back(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    before = {pod.metadata.uid for pod in herd.pods("web")}
    await herd.crash("node-0")
    async with asyncio.timeout(PATIENCE_S):
        # the supervisor is asked; it tells nobody by itself
        while not restarted(await asyncio.to_thread(herd.handle.process, "node-0")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await herd.until_running("web", "node-0", "node-1", "node-2")
    assert {pod.metadata.uid for pod in herd.pods("web")} == before
    assert all(status["restartCount"] == 0 for status in container_statuses(herd))


def restarted(process: ProcessState) -> bool:
    return process.restarts == 1 and process.ready


def container_statuses(herd: Herd) -> list[dict]:
    return [status for pod in herd.pods("web") for status in pod.status.container_statuses]


async def test_a_peer_that_goes_while_it_is_written_to_ends_nobody(
    herd: Herd, daemonset: Callable[..., JsonObject]
):
    """SIGPIPE is what a process gets then; by default it ends it, without a word in any log."""
    processes = herd.handle.state().processes
    for process in processes:
        assert process.process is not None
        assert osproc.send_signal(process.process, signal.SIGPIPE)
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    ours = [process.name for process in processes]
    assert Role.APISERVER in ours
    found = [await asyncio.to_thread(herd.handle.process, name) for name in ours]
    assert [process.restarts for process in found] == [0] * len(ours)


async def test_fork_server_killed(herd: Herd, daemonset: Callable[..., JsonObject]):
    """Its agents live on and are still supervised, and new ones can be started."""
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    spawner = herd.handle.state().spawner
    assert spawner is not None
    assert osproc.send_signal(spawner, signal.SIGKILL)
    await herd.crash("node-1")
    await herd.node(Op.NODE_KILL, "node-0")
    await herd.node(Op.NODE_START, "node-0")
    await herd.node(Op.NODE_ADD, "edge")
    async with asyncio.timeout(PATIENCE_S):
        # the supervisor is asked; it tells nobody by itself
        while not restarted(await asyncio.to_thread(herd.handle.process, "node-1")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await herd.until_running("web", "edge", "node-0", "node-1", "node-2")


async def test_down_and_up_brings_everything_back(herd: Herd, daemonset: Callable[..., JsonObject]):
    await herd.apply(daemonset("web"))
    await herd.until_running("web", "node-0", "node-1", "node-2")
    before = {pod.metadata.uid for pod in herd.pods("web")}
    assert await asyncio.to_thread(herd.handle.down)
    assert not await asyncio.to_thread(herd.handle.down)
    await asyncio.to_thread(herd.handle.up)
    async with herd.handle.view() as view:
        await view.until(lambda: len(view.ready_nodes()) == 3, "all nodes Ready")
        assert {pod.metadata.uid for pod in view.pods("web")} == before
        await view.until(lambda: all(p.ready for p in view.pods("web")), "all pods ready")
