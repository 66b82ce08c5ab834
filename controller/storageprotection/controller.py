"""The shells of the three protection controllers.

Invariant: a finalizer is taken away only from an object read just before, by a write that fails if
the object has changed since.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, Resource
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.storageprotection import plan
from kubeherd.controller.worker import run_workers

_Key = tuple[str, str]


class _Protection(ABC):
    """Watches one kind; an object that is being deleted is looked at until it is let go."""

    resource: ClassVar[Resource]

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._objects = context.informers.get(self.resource, PartialObject)
        self._queue: WorkQueue[_Key] = context.queue("pvcprotection")
        self._waiting: set[_Key] = set()
        """Those in use: at most all objects of the kind."""
        self._objects.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for one in self._objects.cache.values():
            self._changed(None, one)
        await run_workers(
            self._queue, self._reconcile, controller=f"{self.resource.singular}-protection"
        )

    def _changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None and new.metadata.deletion_timestamp is not None:
            self._queue.add((new.metadata.namespace, new.metadata.name))

    async def _reconcile(self, key: _Key) -> float | None:
        self._waiting.discard(key)
        try:
            tree = await self._client.request("GET", self.resource.path(*key))
            wanted = plan.released(tree, plan.FINALIZERS[self.resource])
            if wanted is None:
                return None
            if await self._in_use(tree):
                self._waiting.add(key)
                return plan.RECHECK_S
            await self._client.update(self.resource, wanted)
        except NotFound:
            return None
        return None

    @abstractmethod
    async def _in_use(self, tree: JsonObject) -> bool:
        """Whether the object must be kept for now."""

    async def _list(self, resource: Resource, namespace: str = "") -> list[JsonObject]:
        listed = await self._client.request("GET", resource.path(namespace))
        items: list[JsonObject] = listed["items"]
        return items


class ClaimProtection(_Protection):
    """Claims, in use by pods."""

    resource = plan.CLAIMS

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        context.informers.get(PODS, Pod).on_change(self._pod_changed)

    def _pod_changed(self, _old: Pod | None, new: Pod | None) -> None:
        if new is None:
            for key in self._waiting:
                self._queue.add(key)

    async def _in_use(self, tree: JsonObject) -> bool:
        meta = tree["metadata"]
        return plan.claim_in_use(meta["name"], await self._list(PODS, meta["namespace"]))


class VolumeProtection(_Protection):
    """Volumes, in use by claims."""

    resource = plan.VOLUMES

    async def _in_use(self, tree: JsonObject) -> bool:
        return plan.volume_in_use(tree)


class ClassProtection(_Protection):
    """Classes of volume attributes, in use by volumes and claims."""

    resource = plan.CLASSES

    async def _in_use(self, tree: JsonObject) -> bool:
        return plan.class_in_use(
            tree["metadata"]["name"],
            await self._list(plan.VOLUMES),
            await self._list(plan.CLAIMS),
        )
