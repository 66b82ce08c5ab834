"""Follow a rolling update with kubernetes-asyncio: one line for each change of the DaemonSet.

python examples/watch_a_rollout.py
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import ApiClient, AppsV1Api, Configuration
from kubernetes_asyncio.config import load_kube_config
from kubernetes_asyncio.watch import Watch

from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.lifecycle import new_settings

NODES = 4


def daemonset(image: str) -> dict[str, Any]:
    """A DaemonSet that updates its pods one by one, each of which takes a second to start."""
    return {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"kubeherd.io/ready-delay-seconds": "1"},
                },
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


async def progress(apps: AppsV1Api, generation: int) -> AsyncIterator[tuple[int, int]]:
    """(updated, available) pods after each change, until all pods of a generation are there."""
    async with Watch() as watch:
        async for event in watch.stream(
            apps.list_namespaced_daemon_set, "default", field_selector="metadata.name=web"
        ):
            status = event["object"].status
            if (status.observed_generation or 0) < generation:
                continue
            updated, available = status.updated_number_scheduled, status.number_available
            yield updated or 0, available or 0
            if updated == available == NODES:
                return


async def roll_out(kubeconfig: Path) -> None:
    """Create the DaemonSet, then give it another image, and watch both."""
    configuration = Configuration()
    await load_kube_config(str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client, asyncio.timeout(60):
        apps = AppsV1Api(client)
        created = await apps.create_namespaced_daemon_set("default", daemonset("app:1"))
        async for _, available in progress(apps, created.metadata.generation):
            print(f"app:1: {available} of {NODES} available")
        patched = await apps.patch_namespaced_daemon_set("web", "default", daemonset("app:2"))
        async for updated, available in progress(apps, patched.metadata.generation):
            print(f"app:2: {updated} of {NODES} updated, {available} available")
            if available < NODES - 1:
                raise SystemExit("a rolling update should replace one pod at a time")


def main() -> None:
    """Run it on a cluster in a temporary directory."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = new_settings(nodes=NODES, speed=5.0)
        with ClusterHandle(Path(temporary) / "herd", settings) as handle:
            asyncio.run(roll_out(handle.rundir.kubeconfig))


if __name__ == "__main__":
    main()
