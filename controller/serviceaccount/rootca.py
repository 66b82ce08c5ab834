"""Keeps ConfigMap `kube-root-ca.crt`, the API server's CA, in every namespace.

Invariant: its data is always the CA that this process itself trusts; without one (a server that is
trusted by other means) nothing is published.
"""

import asyncio

from kubeherd.cluster.api.errors import AlreadyExists, Forbidden, NotFound, namespace_is_terminating
from kubeherd.cluster.api.kinds import CONFIGMAPS, NAMESPACES
from kubeherd.cluster.api.objects import Namespace, PartialObject
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.serviceaccount import plan
from kubeherd.controller.worker import run_workers


class RootCAPublisher:
    """Creates the ConfigMap, and repairs it when somebody changes it."""

    def __init__(self, context: Context) -> None:
        self._client, self._reader = context.client, context.reader
        self._ca_pem = context.root_ca_pem.decode()
        self._namespaces = context.informers.get(NAMESPACES, Namespace)
        self._configmaps = context.informers.get(CONFIGMAPS, PartialObject)
        self._queue: WorkQueue[str] = context.queue("root_ca_cert_publisher")
        self._namespaces.on_change(self._namespace_changed)
        self._configmaps.on_change(self._configmap_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        if not self._ca_pem:
            await asyncio.Event().wait()
        for namespace in self._namespaces.cache.values():
            self._queue.add(namespace.metadata.name)
        await run_workers(self._queue, self._reconcile, controller="root-ca")

    def _namespace_changed(self, _old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(new.metadata.name)

    def _configmap_changed(self, old: PartialObject | None, new: PartialObject | None) -> None:
        changed = new or old
        if changed is not None and changed.metadata.name == plan.ROOT_CA_CONFIGMAP:
            self._queue.add(changed.metadata.namespace)

    async def _reconcile(self, name: str) -> None:
        if not plan.wants_content(self._namespaces.cache.get("", name)):
            return
        path = CONFIGMAPS.path(name, plan.ROOT_CA_CONFIGMAP)
        try:
            present = await self._reader.request("GET", path)
        except NotFound:
            await self._create(name)
            return
        repaired = plan.repaired_configmap(present, self._ca_pem)
        if repaired is not None:
            await self._client.update(CONFIGMAPS, repaired)

    async def _create(self, name: str) -> None:
        try:
            await self._client.create(CONFIGMAPS, plan.root_ca_configmap(name, self._ca_pem))
        except (AlreadyExists, NotFound):
            return
        except Forbidden as error:
            if not namespace_is_terminating(error):
                raise
