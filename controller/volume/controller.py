"""The shell of the binder: caches in, writes and events out.

Source: spec persistentvolume-controller 1. Invariants: one claim or volume is decided about at a
time, on caches that show all that was written before, so that no volume is given away twice; every
write names the version that was seen, so that a change in between makes it fail and be tried again.
"""

from enum import Enum
from typing import Final

import msgspec

from kubeherd.cluster.api.errors import AlreadyExists, NotFound
from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.storageobjects import (
    CLAIMS,
    CLASSES,
    SELECTED_NODE,
    VOLUMES,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.references import reference
from kubeherd.controller.volume import plan, reclaim
from kubeherd.controller.volume.binding import Create, Delete, Plan, Stored, Update
from kubeherd.controller.volume.plan import Sight
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload import volumeindex
from kubeherd.controller.workload.events import EventType
from kubeherd.controller.workload.written import Written

COMPONENT: Final = "persistentvolume-controller"
RESYNC_S: Final = 15.0
"""When what failed is looked at again, should no change announce that it can work."""

_WAITING: Final = "waiting"
_ANY_CLASS: Final = "?"
"""No class has this name: that of claims that name none."""


class _Kind(Enum):
    CLAIM = "claim"
    VOLUME = "volume"


_Key = tuple[_Kind, str, str]


class VolumeBinder:
    """Binds claims to volumes, provisions and reclaims volumes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._claims = context.informers.get(CLAIMS, PersistentVolumeClaim)
        self._volumes = context.informers.get(VOLUMES, PersistentVolume)
        self._classes = context.informers.get(CLASSES, StorageClass)
        self._pods = context.informers.get(PODS, Pod)
        self._nodes = context.informers.get(NODES, Node)
        self._recorder = context.recorder(COMPONENT)
        self._queue: WorkQueue[_Key] = context.queue("claims")
        self._written = Written(context.clock)
        volumeindex.add_index(self._volumes.cache, self._pods.cache)
        self._claims.cache.add_index(_WAITING, _waiting_in)
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)
        self._classes.on_change(self._class_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for volume in self._volumes.cache.values():
            self._queue.add((_Kind.VOLUME, "", volume.metadata.name))
        for claim in self._claims.cache.values():
            self._queue.add((_Kind.CLAIM, *claim.key))
        await run_workers(self._queue, self._reconcile, controller="persistentvolume", workers=1)

    # --- what the watches say ---

    def _claim_changed(
        self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> None:
        claim = new or old
        if claim is None:
            return
        self._queue.add((_Kind.CLAIM, *claim.key))
        for volume in volumeindex.reserved(self._volumes.cache, claim):
            self._queue.add((_Kind.VOLUME, "", volume.metadata.name))
        if claim.volume_name:
            self._queue.add((_Kind.VOLUME, "", claim.volume_name))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new or old
        if volume is None:
            return
        self._queue.add((_Kind.VOLUME, "", volume.metadata.name))
        if volume.claim is not None:
            self._queue.add((_Kind.CLAIM, volume.claim.namespace, volume.claim.name))
        elif new is not None and (old is None or old.phase != new.phase):
            self._wake(new.storage_class or _ANY_CLASS)
            self._wake(new.storage_class)

    def _class_changed(self, _old: StorageClass | None, new: StorageClass | None) -> None:
        if new is not None:
            self._wake(new.metadata.name)
            self._wake(_ANY_CLASS)

    def _wake(self, storage_class: str) -> None:
        """Look again at the claims that wait for something of this class."""
        for claim in self._claims.cache.by_index(_WAITING, storage_class):
            self._queue.add((_Kind.CLAIM, *claim.key))

    # --- one at a time ---

    async def _reconcile(self, key: _Key) -> float | None:
        await self._written.wait_seen()
        kind, namespace, name = key
        if kind is _Kind.CLAIM:
            claim = self._claims.cache.get(namespace, name)
            decided = None if claim is None else plan.plan(claim, self._sight(claim))
        else:
            volume = self._volumes.cache.get("", name)
            decided = None if volume is None else await self._volume_plan(volume)
        if decided is None:
            return None
        await self._carry_out(decided)
        failed = any(said.event.type is EventType.WARNING for said in decided.events)
        return RESYNC_S if failed and not decided.writes else None

    def _sight(self, claim: PersistentVolumeClaim) -> Sight:
        volumes, classes = self._volumes.cache, self._classes.cache
        selected = claim.metadata.annotations.get(SELECTED_NODE, "")
        unbound = not claim.volume_name
        return Sight(
            named=volumes.get("", claim.volume_name) if claim.volume_name else None,
            candidates=volumeindex.candidates(volumes, claim) if unbound else (),
            storage_class=classes.get("", claim.storage_class or ""),
            default_class=volumebinding.default_class(classes.values()) if unbound else None,
            waiting_pods=[
                pod.metadata.name for pod in volumeindex.waiting_pods(self._pods.cache, claim)
            ],
            nodes=frozenset({selected} if self._nodes.cache.get("", selected) else ()),
        )

    async def _volume_plan(self, volume: PersistentVolume) -> Plan:
        claim = None
        if volume.claim is not None and volume.claim.uid:
            where = volume.claim.namespace, volume.claim.name
            claim = self._claims.cache.get(*where)
            if claim is None or claim.metadata.uid != volume.claim.uid:
                claim = await self._live_claim(*where)
        return reclaim.plan(volume, claim, self._classes.cache.get("", volume.storage_class))

    async def _live_claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        """The claim itself: data must not be given up because a cache is late."""
        try:
            return await self._client.get(CLAIMS, PersistentVolumeClaim, name, namespace)
        except NotFound:
            return None

    # --- writes ---

    async def _carry_out(self, decided: Plan) -> None:
        """Write in order, each on top of what the one before stored; then tell."""
        versions: dict[str, str] = {}
        for write in decided.writes:
            match write:
                case Update(obj):
                    await self._update(write, obj, versions)
                case Create(tree):
                    await self._create(tree)
                case Delete(volume):
                    await self._delete(volume)
        for said in decided.events:
            event, subject = said.event, said.subject
            about = reference("v1", Update(subject).resource.kind, subject.metadata)
            self._recorder.event(about, event.type.value, event.reason, event.message)

    async def _update(self, write: Update, obj: Stored, versions: dict[str, str]) -> None:
        tree = msgspec.to_builtins(obj)
        tree["apiVersion"], tree["kind"] = "v1", write.resource.kind
        uid = obj.metadata.uid
        tree["metadata"]["resourceVersion"] = versions.get(uid, obj.metadata.resource_version)
        subresource = "status" if write.status else ""
        stored = await self._client.update(write.resource, tree, subresource=subresource)
        versions[uid] = str(stored["metadata"]["resourceVersion"])
        reflector = self._volumes if write.resource == VOLUMES else self._claims
        self._written.note(reflector, versions[uid])

    async def _create(self, tree: JsonObject) -> None:
        try:
            stored = await self._client.create(VOLUMES, tree)
        except AlreadyExists:
            return
        self._written.note(self._volumes, str(stored["metadata"]["resourceVersion"]))

    async def _delete(self, volume: PersistentVolume) -> None:
        if volume.metadata.deletion_timestamp is not None:
            return
        meta = volume.metadata
        try:
            await self._client.delete(VOLUMES, meta.name, uid=meta.uid)
        except NotFound:
            return


def _waiting_in(claim: PersistentVolumeClaim) -> tuple[str, ...]:
    """The class of a claim without a volume."""
    if claim.fully_bound:
        return ()
    return (_ANY_CLASS if claim.storage_class is None else claim.storage_class,)
