"""Faults of the API server's edge, as kubectl, the official client and our processes meet them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import urllib3
from kubectl_runner import KUBECTL, Kubectl
from kubernetes import client as official
from kubernetes import watch as official_watch
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.api.errors import AlreadyExists
from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.sockets.faultsocket import tell
from kubeherd.faults import Clients, Component, Effect, Fault, Nodes, Target, effects
from kubeherd.faults.effects import Moment
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = pytest.mark.integration

DEFAULT = "default"
OFFICIAL = Clients(user_agent="OpenAPI-Generator*")
OURS = Clients(user_agent="kubeherd/*", user="kubernetes-admin")


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=2, speed=20) as running:
        yield running


@asynccontextmanager
async def hurt(cluster: kubeherd.Cluster, effect: Effect, target: Target) -> AsyncIterator[None]:
    """While the body runs, the API server of the cluster does this wrong."""
    socket = cluster.directory / "run" / "apiserver.faults"
    await tell(socket, [Fault(id="f1", target=target, effect=effect)], timeout_s=PATIENCE_S)
    try:
        yield
    finally:
        await tell(socket, [], timeout_s=PATIENCE_S)


@asynccontextmanager
async def own_client(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    transport = from_kubeconfig(kubeconfig)
    try:
        yield ApiClient(transport, LoopClock())
    finally:
        await transport.close()


def config_map(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


@pytest.mark.kubectl
@pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one")
async def test_kubectl_comes_again_when_it_was_told_so(cluster: kubeherd.Cluster) -> None:
    kubectl = Kubectl(cluster.kubeconfig)
    busy = effects.ApiError(code=429, retry_after_s=1, probability=0.5)
    async with hurt(cluster, busy, Clients(user_agent="kubectl*")):
        assert await asyncio.to_thread(kubectl, "create configmap retried") == (
            0,
            "configmap/retried created\n",
        )
    refused = effects.ApiError(code=403, verbs=("create",), resources=("configmaps",))
    async with hurt(cluster, refused, Clients(user_agent="kubectl*")):
        code, said = await asyncio.to_thread(kubectl, "create configmap refused")
    assert code == 1
    assert said == "error: failed to create configmap: refused by the fault f1\n"


async def test_a_create_whose_answer_was_lost_has_been_carried_out(
    cluster: kubeherd.Cluster,
) -> None:
    lost = effects.ApiDrop(moment=Moment.AFTER, verbs=("create",))
    async with own_client(cluster.kubeconfig) as client:
        async with hurt(cluster, lost, OURS):
            with pytest.raises(TransportError):
                await client.create(CONFIGMAPS, config_map("lost"), DEFAULT)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIGMAPS, config_map("lost"), DEFAULT)
        never = effects.ApiDrop(moment=Moment.BEFORE, verbs=("create",))
        async with hurt(cluster, never, OURS):
            with pytest.raises(TransportError):
                await client.create(CONFIGMAPS, config_map("never"), DEFAULT)
        await client.create(CONFIGMAPS, config_map("never"), DEFAULT)


async def test_the_official_client_waits_at_a_stalled_watch_and_is_told_of_410(
    cluster: kubeherd.Cluster,
) -> None:
    with kubeherd.clients.kubernetes(cluster.kubeconfig) as api:
        core = official.CoreV1Api(api)

        def events(**options: object) -> list[str]:
            stream = official_watch.Watch().stream(
                core.list_namespaced_config_map, DEFAULT, **options
            )
            return [event["object"].metadata.name for event in stream]

        listed = core.list_namespaced_config_map(DEFAULT).metadata
        assert listed is not None
        revision = listed.resource_version
        await asyncio.to_thread(core.create_namespaced_config_map, DEFAULT, official_map("told"))
        since = {"resource_version": revision, "timeout_seconds": 10}  # half a second at this speed
        assert await asyncio.to_thread(lambda: events(**since)) == ["told"]
        async with hurt(cluster, effects.WatchStall(), OFFICIAL):
            with pytest.raises(urllib3.exceptions.ReadTimeoutError):
                await asyncio.to_thread(lambda: events(**since, _request_timeout=(PATIENCE_S, 1)))
        async with hurt(cluster, effects.Expire(), OFFICIAL):
            with pytest.raises(official.ApiException) as refusal:
                await asyncio.to_thread(lambda: events(**since))
            assert refusal.value.status == 410


async def test_a_node_behind_a_partition_is_lost_and_comes_back(
    cluster: kubeherd.Cluster,
) -> None:
    async with hurt(cluster, effects.Partition(), Nodes(("node-1",))):
        await asyncio.to_thread(cluster.wait_not_ready, "node-1")
    await asyncio.to_thread(cluster.wait_ready, "node-1")


def official_map(name: str) -> official.V1ConfigMap:
    return official.V1ConfigMap(metadata=official.V1ObjectMeta(name=name))


def kept(core: official.CoreV1Api) -> bool:
    """Whether a write is kept; or it is refused for now."""
    try:
        core.create_namespaced_config_map(DEFAULT, official_map("full"))
    except official.ApiException as error:
        if error.status != 503:
            raise
        return False
    return True


async def test_a_full_disk_takes_no_write_and_is_readable(cluster: kubeherd.Cluster) -> None:
    with kubeherd.clients.kubernetes(cluster.kubeconfig) as api:
        core = official.CoreV1Api(api)
        async with hurt(cluster, effects.StoreFull(), Component("apiserver")):
            with pytest.raises(official.ApiException) as refusal:
                await asyncio.to_thread(
                    core.create_namespaced_config_map, DEFAULT, official_map("full")
                )
            assert (refusal.value.status, refusal.value.reason) == (503, "Service Unavailable")
            await asyncio.to_thread(core.list_node)
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(kept, core):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
