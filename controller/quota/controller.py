"""The quota controller's shell.

Invariant: a count is written only if nobody has been charged since the quota was read, and the
objects are read after the quota: so a charge is neither lost nor undone.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, RESOURCEQUOTAS, Resource
from kubeherd.cluster.api.objects import PartialObject, Pod, ResourceQuota
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.discovery import Kinds
from kubeherd.controller.manager import Context
from kubeherd.controller.quota import plan
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.pods import podindex

_CHANGE_COSTS = frozenset({"services", "persistentvolumeclaims"})
"""Kinds whose objects may cost less after an update."""

_Key = tuple[str, str]


class QuotaController:
    """Keeps `status` of every ResourceQuota; watches what they count, nothing while none is."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._informers = context.informers
        self._kinds = Kinds(context.reader)
        self._queue: WorkQueue[_Key] = context.queue("resourcequota_primary")
        self._watched: set[Resource] = {PODS}
        self._quotas = context.informers.get(RESOURCEQUOTAS, ResourceQuota)
        podindex.add_namespace_index(self._quotas.cache)
        self._quotas.on_change(self._quota_changed)
        context.informers.get(PODS, Pod).on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for one in self._quotas.cache.values():
            self._queue.add((one.metadata.namespace, one.metadata.name))
        await run_workers(self._queue, self._reconcile, controller="resourcequota")

    # --- what makes a quota be looked at ---

    def _quota_changed(self, old: ResourceQuota | None, new: ResourceQuota | None) -> None:
        if new is not None and (old is None or old.spec != new.spec):
            self._queue.add((new.metadata.namespace, new.metadata.name))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or (new.terminal and not old.terminal)):
            self._replenish(old.metadata.namespace)

    def _watch(self, resource: Resource) -> None:
        if resource in self._watched:
            return
        self._watched.add(resource)
        any_change = resource.group_resource in _CHANGE_COSTS

        def changed(old: PartialObject | None, new: PartialObject | None) -> None:
            if old is not None and (new is None or any_change):
                self._replenish(old.metadata.namespace)

        self._informers.get(resource, PartialObject).on_change(changed)

    def _replenish(self, namespace: str) -> None:
        for one in podindex.in_namespace(self._quotas.cache, namespace):
            self._queue.add((namespace, one.metadata.name))

    # --- counting ---

    async def _reconcile(self, key: _Key) -> float | None:
        tree = await self._read(*key)
        if tree is None:
            return None
        objects: dict[str, list[JsonObject]] = {}
        for resource in await self._counted((tree.get("spec") or {}).get("hard") or {}):
            self._watch(resource)
            listed = await self._client.request("GET", resource.path(key[0]))
            objects[resource.group_resource] = listed["items"]
        wanted = plan.with_status(tree, objects, self._clock.now())
        if wanted is not None:
            await self._client.update(RESOURCEQUOTAS, wanted, subresource="status")
        return plan.RESYNC_S

    async def _read(self, namespace: str, name: str) -> JsonObject | None:
        """The quota of now; as a list, for to list them is all that the controller's role allows:
        upstream's reads its cache."""
        query = {"fieldSelector": f"metadata.name={name}"}
        path = RESOURCEQUOTAS.path(namespace)
        items = (await self._client.request("GET", path, query=query))["items"]
        named = {"apiVersion": RESOURCEQUOTAS.api_version, "kind": RESOURCEQUOTAS.kind}
        return {**named, **items[0]} if items else None

    async def _counted(self, hard: JsonObject) -> list[Resource]:
        known = [*kinds.ALL]
        if plan.unknown(hard, known):
            await self._kinds.refresh()
            known += self._kinds.collectable
        return plan.counted_kinds(hard, known)
