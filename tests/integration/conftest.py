"""The `herd` fixture: the test's own cluster of the pytest plugin, with typed views for our tests.

    async def test_something(herd):
        await herd.apply(daemonset("web"))
        await herd.until(lambda: len(herd.pods("web")) == 3, "a pod on every node")

Waits end at the first change that fulfils them. `@pytest.mark.kubeherd(nodes=2, speed=5)` changes
the cluster; what is usual stands in pyproject.toml.
"""

import gc
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from e2e_framework import SPEED as E2E_SPEED
from e2e_framework import Framework
from liveherd import Herd

import kubeherd
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.pytest_plugin.clusters import Clusters


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
