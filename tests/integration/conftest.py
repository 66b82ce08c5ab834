"""The `herd` fixture: the test's own cluster of the pytest plugin, with typed views for our tests.

    async def test_something(herd):
        await herd.apply(daemonset("web"))
        await herd.until(lambda: len(herd.pods("web")) == 3, "a pod on every node")

Waits end at the first change that fulfils them. `@pytest.mark.kubeherd(nodes=2, speed=5)` changes
the cluster; what is usual stands in pyproject.toml.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from e2e_framework import SPEED as E2E_SPEED
from e2e_framework import Framework
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.objects import DaemonSet, Pod
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.pytest_plugin.clusters import Clusters


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


@pytest.fixture
def daemonset() -> Callable[..., JsonObject]:
    """Makes a DaemonSet with one container `main`; further arguments go into its spec."""

    def make(name: str, image: str = "app:1", **spec: object) -> JsonObject:
        labels = {"app": name}
        return {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": image}]},
                },
                **spec,
            },
        }

    return make


@pytest.fixture
async def herd(kubeherd_cluster: kubeherd.Cluster) -> AsyncIterator[Herd]:
    directory = kubeherd_cluster.directory
    handle = ClusterHandle(directory, RunDir(directory).load_settings())
    async with handle.view() as view:
        yield Herd(handle, view)


@pytest.fixture(scope="module")
def e2e_cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    """One cluster for all specs of a module, as in a run of upstream's suite."""
    with kubeherd_factory(nodes=3, speed=E2E_SPEED) as cluster:
        yield cluster


@pytest.fixture
async def f(e2e_cluster: kubeherd.Cluster) -> AsyncIterator[Framework]:
    """A namespace on the module's cluster and clients for it; see `e2e_framework`."""
    async with await kubeherd.clients.kubernetes_asyncio(e2e_cluster.kubeconfig) as api:
        framework = Framework(api)
        await framework.before_each("daemonsets")
        yield framework
        await framework.after_each()


@pytest.fixture
def forgotten_clients() -> Iterator[None]:
    """Clients that a test leaves behind end with it, not in the middle of another."""
    yield
    gc.collect()
