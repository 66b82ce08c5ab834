"""The garbage collector's shell: watches every kind, keeps the graph, carries out its decisions.

Invariants: that an owner is absent is believed only after a live GET (spec 7); that one exists is
believed of the graph, for its deletion will be seen and the dependents looked at again. Nothing is
decided before every watched kind has been listed once. New kinds are looked for when a definition
of kinds changes, and every 30 s as upstream.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import (
    CONTROLLERREVISIONS,
    DAEMONSETS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCEQUOTAS,
    Resource,
)
from kubeherd.cluster.api.objects import (
    ControllerRevision,
    DaemonSet,
    Lease,
    Namespace,
    Node,
    ObjectMeta,
    OwnerReference,
    PartialObject,
    Pod,
    ResourceQuota,
)
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.events import ObjectReference
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.discovery import Kinds
from kubeherd.controller.garbage import plan
from kubeherd.controller.garbage.graph import FOREGROUND, ORPHAN, Graph, Item, Todo, matches
from kubeherd.controller.garbage.plan import Owner
from kubeherd.controller.garbage.writer import GarbageWriter
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers

WORKERS = 64
"""Three times those of Kubernetes: a worker writes and waits, and what several write at a time is
one request."""
ABSENT_LIMIT = 500
DISCOVERY_PERIOD_S = 30.0
DISCOVERY_GATHER_S = 0.5
"""How soon after a change of what defines kinds discovery is asked again: they come in numbers."""
SYNC_TIMEOUT_S = 30.0
UNSEEN_OWNER_RETRY_S = 5.0
DEFINING = frozenset(
    {"customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"}
)
"""Kinds whose objects make other kinds be there or not."""
COMPONENT = "garbage-collector-controller"
SHARED: Mapping[Resource, type[Any]] = {
    PODS: Pod,
    NODES: Node,
    NAMESPACES: Namespace,
    LEASES: Lease,
    DAEMONSETS: DaemonSet,
    CONTROLLERREVISIONS: ControllerRevision,
    RESOURCEQUOTAS: ResourceQuota,
}
"""Kinds that other controllers watch anyway, and as what: their informers are shared."""

_Coordinates = tuple[str, str, str, str, str]
"""Of an owner: uid, apiVersion, kind, namespace, name."""

Handler = Callable[[HasMetadata | None, HasMetadata | None], None]

_log = structlog.get_logger(__name__)


class GarbageCollector:
    """Deletes what nothing owns any more, in the order that owners asked for."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._informers = context.informers
        self._kinds = Kinds(context.reader)
        self._writer = GarbageWriter(context.client)
        self._recorder = context.recorder(COMPONENT)
        self._graph = Graph()
        self._reflectors: dict[Resource, Reflector[Any]] = {}
        self._kinds_moved = asyncio.Event()
        self._absent: OrderedDict[_Coordinates, None] = OrderedDict()
        self._looks: dict[_Coordinates, asyncio.Lock] = {}
        """Owners that are being asked for: at most one for each worker."""
        self._delete_queue: WorkQueue[str] = context.queue("garbage_collector_attempt_to_delete")
        self._orphan_queue: WorkQueue[str] = context.queue("garbage_collector_attempt_to_orphan")

    async def run(self) -> None:
        """Collect until cancelled."""
        await self._kinds.refresh()
        await self._watch_all()
        self._take_up(self._graph.review())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._rediscover(), name="garbage-discovery")
            tasks.create_task(
                run_workers(
                    self._delete_queue, self._attempt, controller="garbage", workers=WORKERS
                )
            )
            tasks.create_task(
                run_workers(
                    self._orphan_queue, self._orphan, controller="garbage-orphan", workers=WORKERS
                )
            )

    # --- watching ---

    async def _rediscover(self) -> None:
        while True:
            with suppress(TimeoutError):
                await self._clock.wait_for(self._kinds_moved.wait(), DISCOVERY_PERIOD_S)
                await self._clock.sleep(DISCOVERY_GATHER_S)
            self._kinds_moved.clear()
            try:
                if await self._kinds.refresh():
                    await self._watch_all()
            except (ApiError, TransportError, TimeoutError) as error:
                _log.info("discovery_failed", error=str(error))

    async def _watch_all(self) -> None:
        """Subscribe to kinds not watched yet, and wait until all of them have been listed."""
        for resource in self._kinds.collectable:
            if resource not in self._reflectors:
                into = SHARED.get(resource, PartialObject)
                reflector = self._informers.get(resource, into)
                self._reflectors[resource] = reflector
                reflector.on_change(self._handler(resource))
        listed = [reflector.synced.wait() for reflector in self._reflectors.values()]
        try:
            await self._clock.wait_for(asyncio.gather(*listed), SYNC_TIMEOUT_S)
        except TimeoutError:
            missing = [r.plural for r, f in self._reflectors.items() if not f.synced.is_set()]
            _log.warning("kinds_not_listed", kinds=missing)

    def _handler(self, resource: Resource) -> Handler:
        def changed(old: HasMetadata | None, new: HasMetadata | None) -> None:
            before = None if old is None else old.metadata
            after = None if new is None else new.metadata
            if before is not None and (after is None or after.uid != before.uid):
                self._take_up(self._graph.remove(before.uid))
            if after is not None and not _same_for_the_graph(before, after):
                self._take_up(self._graph.upsert(resource, after))
            if resource.group_resource in DEFINING:
                self._kinds_moved.set()

        return changed

    def _take_up(self, todo: Todo) -> None:
        for uid in todo.delete:
            self._delete_queue.add(uid)
        for uid in todo.orphan:
            self._orphan_queue.add(uid)
        for item, ref in todo.misplaced:
            self._report_misplaced(item, ref)

    def _report_misplaced(self, item: Item, ref: OwnerReference) -> None:
        where = plan.coordinates(ref, item.namespace)
        self._recorder.event(
            ObjectReference(
                api_version=item.resource.api_version,
                kind=item.resource.kind,
                namespace=item.namespace,
                name=item.name,
                uid=item.uid,
            ),
            "Warning",
            "OwnerRefInvalidNamespace",
            f'ownerRef {where} does not exist in namespace "{item.namespace}"',
        )

    # --- one object ---

    async def _attempt(self, uid: str) -> float | None:
        """Look whether an object must go; returns when to look again, if at all."""
        item = self._graph.items.get(uid)
        if item is None or (item.deleting and not item.deleting_dependents):
            return None
        if item.deleting_dependents:
            await self._finish_foreground(item)
            return None
        owners: list[tuple[OwnerReference, Owner]] = []
        again_s: float | None = None
        for ref in item.owners:
            state, seen = await self._look_up(item, ref)
            if state is None:
                return None if seen else UNSEEN_OWNER_RETRY_S
            if not seen:
                again_s = UNSEEN_OWNER_RETRY_S
            owners.append((ref, state))
        await self._carry_out(item, plan.decide(owners, item, self._graph.dependents(uid)))
        return again_s

    async def _carry_out(self, item: Item, action: plan.Keep | plan.Delete) -> None:
        if isinstance(action, plan.Keep):
            if action.drop:
                await self._writer.drop_owners(item, action.drop)
            return
        if action.unblock:
            await self._writer.unblock(item)
            return  # the watch shows the object without its blocks, and brings it back here
        known = self._known(item)
        if known is None:
            return
        if not await self._writer.delete(item, known, action.propagation):
            self._delete_queue.add(item.uid)

    def _known(self, item: Item) -> ObjectMeta | None:
        found = self._reflectors[item.resource].cache.get(item.namespace, item.name)
        if found is None or found.metadata.uid != item.uid:
            return None
        meta: ObjectMeta = found.metadata
        return meta

    async def _look_up(self, item: Item, ref: OwnerReference) -> tuple[Owner | None, bool]:
        """What an owner is, and whether its end will be noticed without looking again.

        None: it cannot be told (an owner of unknown kind), or never will be (a namespaced owner of
        a cluster-scoped object): then the object is left alone.
        """
        known = self._graph.items.get(ref.uid)
        if known is not None and matches(known, ref) and known.namespace in ("", item.namespace):
            return (Owner.WAITING if known.deleting_dependents else Owner.SOLID), True
        resource = self._kinds.for_kind(ref.api_version, ref.kind)
        if resource is None:
            return None, False
        if resource.namespaced and not item.namespace:
            return None, True
        namespace = item.namespace if resource.namespaced else ""
        key = (ref.uid, ref.api_version, ref.kind, namespace, ref.name)
        meta = await self._live(key, resource)
        if meta is None:
            return Owner.DANGLING, True
        waiting = meta.deletion_timestamp is not None and FOREGROUND in meta.finalizers
        return (Owner.WAITING if waiting else Owner.SOLID), False

    async def _live(self, key: _Coordinates, resource: Resource) -> ObjectMeta | None:
        """What the server says of an owner; None: it is not there. Of all who want to know at the
        same time one asks."""
        async with self._looks.setdefault(key, asyncio.Lock()):
            try:
                if key in self._absent:
                    return None
                uid, *_, namespace, name = key
                meta = await self._writer.look(resource, namespace, name)
                if meta is None or meta.uid != uid:
                    self._absent[key] = meta = None
                    if len(self._absent) > ABSENT_LIMIT:
                        self._absent.popitem(last=False)
                return meta
            finally:
                self._looks.pop(key, None)

    async def _finish_foreground(self, item: Item) -> None:
        blocking = plan.blocking(item, self._graph.dependents(item.uid))
        if not blocking:
            await self._writer.remove_finalizer(item, FOREGROUND)
        for dependent in blocking:
            if not dependent.deleting:
                self._delete_queue.add(dependent.uid)

    async def _orphan(self, uid: str) -> None:
        """Release all dependents of an object, then let it go."""
        item = self._graph.items.get(uid)
        if item is None or not item.orphaning:
            return
        slots = asyncio.Semaphore(WORKERS)

        async def release(dependent: Item) -> None:
            async with slots:
                await self._writer.drop_owners(dependent, [uid])

        outcomes = await asyncio.gather(
            *(release(dependent) for dependent in self._graph.dependents(uid)),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        await self._writer.remove_finalizer(item, ORPHAN)


def _same_for_the_graph(before: ObjectMeta | None, after: ObjectMeta) -> bool:
    """Whether an update changed nothing that the graph holds (leases are renewed all the time)."""
    return (
        before is not None
        and before.uid == after.uid
        and before.deletion_timestamp == after.deletion_timestamp
        and before.finalizers == after.finalizers
        and before.owner_references == after.owner_references
    )
