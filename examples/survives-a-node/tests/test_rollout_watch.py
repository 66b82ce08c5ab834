"""The client sees the end of a rollout, whatever breaks on the way."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import rollout_watch

import kubeherd

PROGRAM = Path(rollout_watch.__file__)


def daemonset(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


async def test_sees_a_rollout_over_a_node_that_dies(
    kubeherd_async_cluster: kubeherd.AsyncCluster, kubeherd_kubernetes_asyncio: Any
) -> None:
    cluster = kubeherd_async_cluster
    await cluster.apply(daemonset("app:1"))
    await cluster.wait_rolled_out("web")
    async with kubeherd_kubernetes_asyncio as client, asyncio.timeout(60):
        await cluster.kill_node("node-1")
        await cluster.wait_not_ready("node-1")
        following = asyncio.create_task(rollout_watch.follow(client, "web", "app:2"))
        await cluster.apply(daemonset("app:2"))
        assert await following == ["node-0", "node-2"]


def test_goes_on_when_the_api_server_was_killed(
    kubeherd_cluster: kubeherd.Cluster, kubeherd_kubeconfig: Path
) -> None:
    """As a process, as its users run it."""
    kubeherd_cluster.apply(daemonset("app:1"))
    kubeherd_cluster.wait_rolled_out("web")
    environment = {**os.environ, "KUBECONFIG": str(kubeherd_kubeconfig)}
    command = [sys.executable, str(PROGRAM), "web", "app:2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        kubeherd_cluster.crash("apiserver")
        kubeherd_cluster.wait_ready()  # the API server answers again
        kubeherd_cluster.apply(daemonset("app:2"))
        output, _ = program.communicate(timeout=60)
    assert output.split() == ["node-0", "node-1", "node-2"]
