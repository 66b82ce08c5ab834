"""An operator written with kopf, tried on kubeherd: it reports on DaemonSets that want a report.

For each DaemonSet with the label `report=yes` the operator keeps a ConfigMap `NAME-report`. It uses
what operators are made of: handlers for creation, change and deletion (with a finalizer), events,
patches of annotations, an owner reference. The program starts a cluster, runs the operator on it,
and plays a user.

python examples/operator_with_kopf.py
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import kopf
import kubernetes_asyncio.client
import kubernetes_asyncio.config
from kubernetes_asyncio.client import ApiException, AppsV1Api, CoreV1Api

from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.lifecycle import new_settings

WANTED = {"report": "yes"}
DAEMONSET = {
    "metadata": {"name": "web", "labels": WANTED},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "app:1"}]},
        },
    },
}


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.level = logging.INFO
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.create("daemonsets", labels=WANTED)
@kopf.on.update("daemonsets", labels=WANTED, field="spec")
async def report(
    spec: kopf.Spec, name: str, namespace: str, body: kopf.Body, patch: kopf.Patch, **_: Any
) -> None:
    """Write which image the DaemonSet runs; the ConfigMap goes when the DaemonSet goes."""
    image = spec["template"]["spec"]["containers"][0]["image"]
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-report"},
        "data": {"image": image},
    }
    kopf.append_owner_reference(config_map, owner=body)
    async with await connected() as client:
        core = CoreV1Api(client)
        try:
            await core.create_namespaced_config_map(namespace, config_map)
        except ApiException as error:
            if error.status != 409:
                raise
            await core.patch_namespaced_config_map(f"{name}-report", namespace, config_map)
    patch.metadata.annotations["reported-image"] = image
    kopf.info(body, reason="Reported", message=f"The image is {image}")


@kopf.on.delete("daemonsets", labels=WANTED)
async def say_goodbye(body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Goodbye", message="No more reports")


async def connected() -> kubernetes_asyncio.client.ApiClient:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        os.environ["KUBECONFIG"], client_configuration=configuration
    )
    return kubernetes_asyncio.client.ApiClient(configuration)


async def play_the_user() -> None:
    """Create a DaemonSet, change its image, delete it; see the operator follow."""
    async with await connected() as client:
        apps, core = AppsV1Api(client), CoreV1Api(client)

        async def reported(image: str) -> bool:
            config_map = await core.read_namespaced_config_map("web-report", "default")
            daemonset = await apps.read_namespaced_daemon_set("web", "default")
            said: str | None = daemonset.metadata.annotations.get("reported-image")
            return bool(config_map.data["image"] == image == said)

        async def forgotten() -> bool:
            found = await core.list_namespaced_config_map("default")
            sets = await apps.list_namespaced_daemon_set("default")
            return not sets.items and all(c.metadata.name != "web-report" for c in found.items)

        await apps.create_namespaced_daemon_set("default", DAEMONSET)
        await until(lambda: reported("app:1"), "app:1 is reported")
        container = {"name": "main", "image": "app:2"}
        change = {"spec": {"template": {"spec": {"containers": [container]}}}}
        await apps.patch_namespaced_daemon_set("web", "default", change)
        await until(lambda: reported("app:2"), "app:2 is reported")
        await apps.delete_namespaced_daemon_set("web", "default")
        await until(forgotten, "the DaemonSet and its report are gone")

        async def announced() -> bool:
            events = await core.list_namespaced_event("default")
            return {"Reported", "Goodbye"} <= {event.reason for event in events.items}

        await until(announced, "events tell of it")


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask until it holds, at most 20 s."""
    async with asyncio.timeout(20):
        while True:
            try:
                if await condition():
                    break
            except ApiException as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.1)
    print(what)


async def with_operator() -> None:
    ready, stop = asyncio.Event(), asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(standalone=True, namespaces=["default"], ready_flag=ready, stop_flag=stop)
    )
    await ready.wait()
    try:
        await play_the_user()
    finally:
        stop.set()
        await operator


def main() -> None:
    """Run it all on a cluster in a temporary directory."""
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        handle = ClusterHandle(Path(temporary) / "herd", new_settings(nodes=2, speed=20.0))
        with handle:
            os.environ["KUBECONFIG"] = str(handle.rundir.kubeconfig)
            asyncio.run(with_operator())


if __name__ == "__main__":
    main()
