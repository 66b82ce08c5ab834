"""Follow the rollout of a DaemonSet until every Ready node runs the wanted image.

    KUBECONFIG=... python rollout_watch.py web app:2

It goes on when the API server is away, when its watch ends or is told that it is too old, and it
does not wait for pods on nodes that are down.
"""

import asyncio
import os
import sys
from typing import Any

from aiohttp import ClientError
from kubernetes_asyncio import watch
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration, CoreV1Api
from kubernetes_asyncio.config import load_kube_config

RETRY_S = 0.2


async def follow(client: ApiClient, app: str, image: str) -> list[str]:
    """The nodes that run `image`, once these are all that are Ready."""
    core = CoreV1Api(client)
    while True:
        try:
            if done := await _look(core, app, image):
                return done
            await _next_change(core, app)
        except (ApiException, ClientError, TimeoutError, OSError):
            await asyncio.sleep(RETRY_S)  # the API server is away, or has forgotten our watch


async def _look(core: CoreV1Api, app: str, image: str) -> list[str]:
    nodes = await core.list_node()
    pods = await core.list_pod_for_all_namespaces(label_selector=f"app={app}")
    ready = {node.metadata.name for node in nodes.items if _is_ready(node)}
    running = {
        pod.spec.node_name
        for pod in pods.items
        if _is_ready(pod) and pod.spec.containers[0].image == image
    }
    return sorted(ready) if ready and ready <= running else []


async def _next_change(core: CoreV1Api, app: str) -> None:
    async with watch.Watch() as changes:
        selected = {"label_selector": f"app={app}", "timeout_seconds": 1}
        async for _ in changes.stream(core.list_pod_for_all_namespaces, **selected):
            return


def _is_ready(item: Any) -> bool:
    conditions = item.status.conditions or []
    return any(found.type == "Ready" and found.status == "True" for found in conditions)


async def main(app: str, image: str) -> None:
    configuration = Configuration()
    await load_kube_config(os.environ["KUBECONFIG"], client_configuration=configuration)
    async with ApiClient(configuration) as client:
        print(*await follow(client, app, image))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
