"""An operator written with kopf: it reports on DaemonSets that want a report.

For each DaemonSet with the label `report=yes` it keeps a ConfigMap `NAME-report`. It uses what
operators are made of: handlers for creation, change and deletion (with a finalizer), events,
patches of annotations, an owner reference.

    kopf run --standalone --all-namespaces daemonset_reports.py
"""

import os
from typing import Any

import kopf
import kubernetes_asyncio.client
import kubernetes_asyncio.config
from kubernetes_asyncio.client import ApiException, CoreV1Api

WANTED = {"report": "yes"}


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
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
