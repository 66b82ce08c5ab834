"""A running cluster with typed views: what the `herd` fixture of the integration tests gives."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.objects import DaemonSet, Pod
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.view import ClusterView


class Herd:
    """A running cluster and what a test does with it."""

    def __init__(self, handle: ClusterHandle, view: ClusterView) -> None:
        self.handle = handle
        self.view = view

    @property
    def client(self) -> ApiClient:
        return self.view.client

    @property
    def kubeconfig(self) -> Path:
        return self.handle.rundir.kubeconfig

    def pods(self, owner: str = "") -> list[Pod]:
        return self.view.pods(owner)

    def ready_on(self, owner: str) -> list[str]:
        """The nodes with a ready pod of this owner, a node for each pod."""
        return [p.spec.node_name for p in self.pods(owner) if p.ready and not terminating(p)]

    def daemonset(self, name: str, namespace: str = "default") -> DaemonSet:
        found = self.view.daemonset(namespace, name)
        assert found is not None
        return found

    async def apply(self, obj: JsonObject) -> JsonObject:
        return await self.client.create(DAEMONSETS, obj)

    async def set_image(self, name: str, image: str) -> None:
        container = {"name": "main", "image": image}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        await self.client.patch(DAEMONSETS, name, patch, "default", kind=PatchKind.STRATEGIC)

    async def until(
        self, condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S
    ) -> None:
        await self.view.until(condition, what, timeout_s)

    async def until_running(self, name: str, *nodes: str) -> None:
        """Wait for exactly one ready pod on each of these nodes and for the status to say so."""

        def running() -> bool:
            daemonset = self.view.daemonset("default", name)
            return (
                daemonset is not None
                and self.ready_on(name) == sorted(nodes)
                and daemonset.status.observed_generation == daemonset.metadata.generation
                and daemonset.status.updated_number_scheduled == len(nodes)
                and daemonset.status.number_available == len(nodes)
            )

        await self.until(running, f"{name} on {', '.join(nodes)}")

    async def node(self, op: Op, *nodes: str, count: int = 0) -> list[str]:
        return list(await asyncio.to_thread(self.handle.node, op, *nodes, count=count))

    async def crash(self, role: Role | str) -> None:
        await asyncio.to_thread(self.handle.crash, role)


def terminating(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None
