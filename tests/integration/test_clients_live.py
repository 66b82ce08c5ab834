"""The clients that Python programs use, each doing what it is mostly used for."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kr8s.asyncio
import kubernetes
import kubernetes.dynamic
import kubernetes_asyncio
import kubernetes_asyncio.client
import kubernetes_asyncio.config
import kubernetes_asyncio.dynamic
import kubernetes_asyncio.watch
import lightkube
import pytest
import yaml
from kr8s.asyncio.objects import APIObject
from kr8s.asyncio.objects import DaemonSet as Kr8sDaemonSet
from kr8s.asyncio.objects import Pod as Kr8sPod
from kubernetes.client import ApiException
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import DaemonSet as LightkubeDaemonSet
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import PatchType
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # some clients cannot be closed
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.36"),  # newer than kr8s knows
]


@pytest.fixture(autouse=True)
def forgotten_clients() -> Iterator[None]:
    """Clients that a test leaves behind end with it, not in the middle of another."""
    yield
    gc.collect()


class TestKubernetes:
    """The official client: generated, synchronous."""

    @pytest.mark.kubeherd(nodes=2)
    async def test_daemonset_from_creation_to_deletion(
        self, herd: Herd, daemonset: Callable[..., JsonObject]
    ):
        await asyncio.to_thread(self.daemonset_story, herd, daemonset("web"))

    def daemonset_story(self, herd: Herd, manifest) -> None:
        with kubernetes.config.new_client_from_config(str(herd.kubeconfig)) as client:
            apps, core = kubernetes.client.AppsV1Api(client), kubernetes.client.CoreV1Api(client)
            apps.create_namespaced_daemon_set("default", manifest)
            watch = kubernetes.watch.Watch()
            for event in watch.stream(
                apps.list_namespaced_daemon_set, "default", timeout_seconds=20
            ):
                if event["object"].status.number_available == 2:
                    watch.stop()
            pods = core.list_namespaced_pod("default", label_selector="app=web", limit=1)
            assert pods.metadata is not None
            assert (len(pods.items), pods.metadata.remaining_item_count) == (1, None)
            rest = core.list_namespaced_pod(
                "default", label_selector="app=web", _continue=pods.metadata._continue
            )
            found = [*pods.items, *rest.items]
            assert {p.spec and p.spec.node_name for p in found} == {"node-0", "node-1"}
            container = {"name": "main", "image": "app:2"}
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            patched = apps.patch_namespaced_daemon_set("web", "default", patch)
            assert patched.metadata is not None
            assert patched.metadata.generation == 2
            apps.delete_namespaced_daemon_set("web", "default", propagation_policy="Foreground")
            assert gone(lambda: apps.read_namespaced_daemon_set("web", "default"))
            assert core.list_namespaced_pod("default").items == []

    @pytest.mark.kubeherd(nodes=0)
    async def test_other_ways_in(self, herd: Herd, tmp_path: Path):
        await asyncio.to_thread(self.other_ways, herd, tmp_path)

    def other_ways(self, herd: Herd, tmp_path: Path) -> None:
        with kubernetes.config.new_client_from_config(str(herd.kubeconfig)) as client:
            core = kubernetes.client.CoreV1Api(client)
            assert kubernetes.client.VersionApi(client).get_code().minor == "36"

            manifests = tmp_path / "m.yaml"
            trees = [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "s"},
                    "stringData": {"k": "v"},
                },
            ]
            manifests.write_text(
                yaml.safe_dump_all(
                    [trees[0], {"apiVersion": "v1", "kind": "List", "items": trees[1:]}]
                )
            )
            kubernetes.utils.create_from_yaml(client, str(manifests))
            assert core.read_namespaced_secret("s", "default").data == {"k": "dg=="}
            with pytest.raises(kubernetes.utils.FailToCreateError, match="AlreadyExists"):
                kubernetes.utils.create_from_yaml(client, str(manifests))

            dynamic = kubernetes.dynamic.DynamicClient(client)
            config_maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
            applied = config_maps.server_side_apply(
                body={
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "d"},
                    "data": {"k": "v"},
                },
                namespace="default",
                field_manager="tester",
            )
            assert applied.data.k == "v"
            events = config_maps.watch(namespace="default", name="d", timeout=5)
            assert next(iter(events))["object"].metadata.name == "d"
            with pytest.raises(kubernetes.dynamic.exceptions.NotFoundError):
                config_maps.get(name="nobody", namespace="default")

            with pytest.raises(ApiException) as refused:
                core.connect_get_namespaced_pod_exec("nobody", "default", command=["ls"])
            assert refused.value.status in (400, 404)

    @pytest.mark.kubeherd(nodes=0)
    async def test_leader_election_by_lease(self, herd: Herd):
        await asyncio.to_thread(self.elect, herd)

    def elect(self, herd: Herd) -> None:
        kubernetes.config.load_kube_config(str(herd.kubeconfig))
        first, second = candidate("first"), candidate("second")
        assert first.try_acquire_or_renew()
        assert not second.try_acquire_or_renew()
        assert first.try_acquire_or_renew()
        lease = kubernetes.client.CoordinationV1Api().read_namespaced_lease("leader", "default")
        assert lease.spec is not None
        assert lease.spec.holder_identity == "first"
        renewed, acquired = lease.spec.renew_time, lease.spec.acquire_time
        assert renewed is not None
        assert acquired is not None
        assert renewed > acquired


def gone(read: Callable[[], object]) -> bool:
    """Read until there is nothing more to read, for a limited time."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            read()
        except ApiException as error:
            return error.status == 404
        time.sleep(0.05)
    return False


def candidate(name: str) -> LeaderElection:
    """One who wants to lead; runs no thread."""
    return LeaderElection(
        Config(
            LeaseLock("leader", "default", name),
            lease_duration=3,
            renew_deadline=2,
            retry_period=1,
            onstarted_leading=lambda: None,
            onstopped_leading=lambda: None,
        )
    )


class TestKubernetesAsyncio:
    @pytest.mark.kubeherd(nodes=2)
    async def test_watch_of_a_rollout(self, herd: Herd, daemonset: Callable[..., JsonObject]):
        configuration = kubernetes_asyncio.client.Configuration()
        await kubernetes_asyncio.config.load_kube_config(
            str(herd.kubeconfig), client_configuration=configuration
        )
        async with kubernetes_asyncio.client.ApiClient(configuration) as client:
            apps = kubernetes_asyncio.client.AppsV1Api(client)
            wanted: Any = daemonset("web")  # the client takes trees, too, unlike its types
            await apps.create_namespaced_daemon_set("default", wanted)
            async with asyncio.timeout(PATIENCE_S), kubernetes_asyncio.watch.Watch() as watch:
                async for event in watch.stream(apps.list_namespaced_daemon_set, "default"):
                    if event["object"].status.number_available == 2:
                        break
            dynamic = await kubernetes_asyncio.dynamic.DynamicClient(client)
            nodes = await dynamic.resources.get(api_version="v1", kind="Node")
            assert [n.metadata.name for n in (await nodes.get()).items] == ["node-0", "node-1"]
            with pytest.raises(kubernetes_asyncio.client.ApiException) as refused:
                await apps.patch_namespaced_daemon_set(
                    "web", "default", {"spec": {"selector": None}}
                )
            assert refused.value.status == 422


async def objects(api: kr8s.asyncio.Api, kind: str, **which: Any) -> list[APIObject]:
    """What kr8s finds."""
    return [one async for one in api.get(kind, **which) if isinstance(one, APIObject)]


class TestKr8s:
    @pytest.mark.kubeherd(nodes=2)
    async def test_objects(self, herd: Herd, daemonset: Callable[..., JsonObject]):
        api = await kr8s.asyncio.api(kubeconfig=str(herd.kubeconfig))
        assert (await api.version())["minor"] == "36"
        assert [node.name for node in await objects(api, "nodes")] == ["node-0", "node-1"]
        web = await Kr8sDaemonSet(daemonset("web"), api=api)
        await web.create()
        await web.wait("jsonpath='{.status.numberReady}'=2", timeout=int(PATIENCE_S))
        pods = await objects(api, "pods", namespace="default", label_selector={"app": "web"})
        assert len(pods) == 2
        first = pods[0]
        assert isinstance(first, Kr8sPod)
        await first.wait("condition=Ready", timeout=int(PATIENCE_S))
        assert [line async for line in first.logs()]
        await web.label(team="a")
        await web.annotate({"note": "b"})
        await web.refresh()
        assert (web.labels["team"], web.annotations["note"]) == ("a", "b")
        await web.patch({"spec": {"minReadySeconds": 1}})
        async for event, obj in api.watch("daemonsets", namespace="default"):
            assert (event, obj.name, obj.spec.minReadySeconds) == ("ADDED", "web", 1)
            break
        await web.delete()
        await web.wait("delete", timeout=int(PATIENCE_S))
        assert not await web.exists()


class TestLightkube:
    @pytest.mark.kubeherd(nodes=2)
    async def test_objects(self, herd: Herd, daemonset: Callable[..., JsonObject]):
        config = lightkube.KubeConfig.from_file(herd.kubeconfig)
        client = lightkube.AsyncClient(config, namespace="default", field_manager="tester")
        names = [node.metadata and node.metadata.name async for node in client.list(Node)]
        assert names == ["node-0", "node-1"]
        wanted = LightkubeDaemonSet.from_dict(daemonset("web"))
        assert isinstance(wanted, LightkubeDaemonSet)
        await client.apply(wanted)
        async with asyncio.timeout(PATIENCE_S):
            async for _, found in client.watch(LightkubeDaemonSet, fields={"metadata.name": "web"}):
                if found.status and found.status.numberAvailable == 2:
                    break
        pods = [pod async for pod in client.list(Pod, labels={"app": "web"}, chunk_size=1)]
        assert {pod.spec and pod.spec.nodeName for pod in pods} == {"node-0", "node-1"}
        metadata = pods[0].metadata
        assert metadata is not None
        assert metadata.name is not None
        async for line in client.log(metadata.name):
            assert "started" in line
        await client.create(ConfigMap(metadata=ObjectMeta(name="c"), data={"k": "v"}))
        patch = {"data": {"k": None, "l": "w"}}
        patched = await client.patch(ConfigMap, "c", patch, patch_type=PatchType.MERGE)
        assert patched.data == {"l": "w"}
        with pytest.raises(lightkube.ApiError) as refused:
            await client.get(ConfigMap, "nobody")
        assert refused.value.status.reason == "NotFound"
        await client.delete(LightkubeDaemonSet, "web", grace_period=0)
        await client.deletecollection(ConfigMap)
        left = {one.metadata and one.metadata.name async for one in client.list(ConfigMap)}
        assert left <= {"kube-root-ca.crt"}  # which always comes back
