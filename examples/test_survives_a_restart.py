"""Tests of your own program with pytest: a cluster for each test, broken on purpose.

The program under test is `count_pods`, which must still count right when the
API server was killed.

pytest examples/test_survives_a_restart.py
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes_asyncio.client import ApiClient, AppsV1Api, Configuration, CoreV1Api
from kubernetes_asyncio.config import load_kube_config

from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.lifecycle import new_settings
from kubeherd.cluster.launcher.plan import Role

DAEMONSET = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "app:1"}]},
        },
    },
}


@pytest.fixture
async def herd(tmp_path: Path) -> AsyncIterator[ClusterHandle]:
    handle = ClusterHandle(tmp_path / "herd", new_settings(nodes=3, speed=20.0))
    try:
        await asyncio.to_thread(handle.up)
        yield handle
    finally:
        await asyncio.to_thread(handle.down)


async def count_pods(client: ApiClient) -> int:
    """The program under test: how many pods run. It tries again when there is no answer."""
    async with asyncio.timeout(20):
        while True:
            try:
                pods = await CoreV1Api(client).list_pod_for_all_namespaces()
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return sum(pod.status.phase == "Running" for pod in pods.items)


async def test_counts_after_the_api_server_was_killed(herd: ClusterHandle) -> None:
    configuration = Configuration()
    await load_kube_config(str(herd.rundir.kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client, herd.view() as view:
        await AppsV1Api(client).create_namespaced_daemon_set("default", DAEMONSET)
        await view.until(lambda: sum(p.ready for p in view.pods("web")) == 3, "three pods")
        await asyncio.to_thread(herd.crash, Role.APISERVER)
        assert await count_pods(client) == 3


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
