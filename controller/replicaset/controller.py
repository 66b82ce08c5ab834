"""The shell of the ReplicaSet controller: wakes up, reads caches, carries plans out.

All decisions are in `plan.py`, `status.py` and `wakeups.py`. Invariants: one sync of a ReplicaSet
at a time (the queue sees to that), and none before the caches show what the last one wrote; the
status is written even when pods could not be created.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.replicaset import execute, status
from kubeherd.controller.replicaset.kinds import REPLICASET, REPLICATIONCONTROLLER, Kind
from kubeherd.controller.replicaset.memory import Memory
from kubeherd.controller.replicaset.model import Count, Observed, Plan
from kubeherd.controller.replicaset.plan import plan, recount
from kubeherd.controller.replicaset.wakeups import pod_matters
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.apps import ReplicaSet, ReplicationController
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.memories import Memories
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.pods.podcontrol import PodControl
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.storestatus import store_status
from kubeherd.controller.workload.wakeups import Key, Wakeups, key_of
from kubeherd.controller.workload.writer import ObjectWriter

WORKERS = 16
"""--concurrent-replicaset-syncs and --concurrent-rc-syncs."""
SETTLE_TIMEOUT_S = 5.0
"""How long a sync waits for its own writes before it counts the status."""

T = TypeVar("T", bound=HasMetadata)


class ReplicasController(Generic[T]):
    """Keeps the pods and the status of every object of one kind as they should be."""

    def __init__(self, context: Context, kind: Kind[T]) -> None:
        self._kind = kind
        self._client = context.client
        self._clock = context.clock
        self._sets = context.informers.get(kind.resource, kind.into)
        self._pods = context.informers.get(PODS, Pod)
        self._rng = context.rng.child(kind.component)
        self._queue: WorkQueue[Key] = context.queue(kind.queue, self._rng)
        self._recorder = context.recorder(kind.component)
        self._wakeups: Wakeups[ReplicaSet] = Wakeups(kind.resource.kind, self, self._selector_of)
        self._memories = Memories(lambda: Memory(self._clock, self._rng))
        podindex.add_index(self._pods.cache)
        podindex.add_index(self._sets.cache)
        podindex.add_namespace_index(self._sets.cache)
        self._sets.on_change(self._set_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for found in self._sets.cache.values():
            self._queue.add(key_of(found))
        await run_workers(self._queue, self.sync, controller=self._kind.component, workers=WORKERS)

    # --- lookups that wakeups need ---

    def get(self, namespace: str, name: str) -> ReplicaSet | None:
        """The cached ReplicaSet, or None."""
        found = self._sets.cache.get(namespace, name)
        return None if found is None else self._kind.view(found)

    def in_namespace(self, namespace: str) -> Iterable[ReplicaSet]:
        """The cached ReplicaSets of a namespace."""
        return map(self._kind.view, podindex.in_namespace(self._sets.cache, namespace))

    def _selector_of(self, replicaset: ReplicaSet) -> Selector:
        return self._memories.of(replicaset).selector(replicaset)

    # --- events ---

    def _set_changed(self, old: T | None, new: T | None) -> None:
        changed = new or old
        if changed is None:
            return
        key = key_of(changed)
        if new is None:
            self._memories.forget(key)
        self._wake(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if pod_matters(old, new):
            for replicaset in self._wakeups.changed(old, new):
                self._wake(key_of(replicaset))

    def _wake(self, key: Key) -> None:
        memory = self._memories.get(key)
        self._queue.add_after(key, 0.0 if memory is None else memory.pacing.pause_s())

    # --- one sync ---

    async def sync(self, key: Key) -> float | None:
        """Look at one ReplicaSet and do what its plan says; seconds until the next look.

        ReconcileError, ApiError or TransportError if a write failed; what the others did stays
        done, the status included.
        """
        known = self._memories.get(key)
        if known is not None:
            await known.written.wait_seen()
        replicaset = self.get(*key)
        if replicaset is None:
            self._memories.forget(key)
            return None
        memory = self._memories.of(replicaset)
        if memory.selector(replicaset) is NOTHING:
            return None  # no pod would ever be its own, and there would be no end of new ones
        chosen = self._plan(replicaset, memory)
        owner = Owner(self._kind.resource, replicaset.metadata)
        writer = ObjectWriter(
            self._client,
            replicaset.metadata.namespace,
            memory.written,
            {PODS: self._pods, self._kind.resource: self._sets},
        )
        await execute.claim_pods(chosen, writer, owner)
        record = recorder_on(self._recorder, owner)
        control = PodControl(writer, owner, record, memory.names)
        failure = await execute.manage_replicas(chosen, replicaset, owner, control, memory.names)
        count = await self._settled_count(replicaset, memory) if chosen.writes else chosen.count
        tree = status.changed(replicaset, count.numbers, failure, format_time(self._clock.now()))
        if tree is not None:
            await store_status(writer, owner, tree)
        if failure is not None:
            raise ReconcileError(failure.message)
        return count.requeue_after_s

    async def _settled_count(self, replicaset: ReplicaSet, memory: Memory) -> Count:
        """What there is once the caches show what this sync wrote: it saves writing a status that
        is old already."""
        await memory.written.settled(SETTLE_TIMEOUT_S)
        selector = memory.selector(replicaset)
        return recount(self._observe(replicaset), selector, self._clock.age_s)

    def _plan(self, replicaset: ReplicaSet, memory: Memory) -> Plan:
        started_s = self._clock.monotonic_s()
        selector = memory.selector(replicaset)
        chosen = plan(self._observe(replicaset), selector, self._clock.age_s)
        memory.names.observed(replicaset.metadata.namespace, self._pods.cache.get)
        memory.pacing.planned(started_s)
        return chosen

    def _observe(self, replicaset: ReplicaSet) -> Observed:
        return Observed(
            replicaset,
            podindex.candidates(self._pods.cache, replicaset.metadata),
            lambda: self._related(replicaset),
            terminating=self._kind.counts_terminating,
        )

    def _related(self, replicaset: ReplicaSet) -> Iterable[Pod]:
        """The pods of all ReplicaSets that the same Deployment, say, controls (spec 5)."""
        owner = replicaset.metadata.controller()
        if owner is None:
            return
        for related in podindex.owned(self._sets.cache, owner.uid):
            yield from podindex.owned(self._pods.cache, related.metadata.uid)


class ReplicaSetController(ReplicasController[ReplicaSet]):
    """The controller of ReplicaSets."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, REPLICASET)


class ReplicationManager(ReplicasController[ReplicationController]):
    """The controller of ReplicationControllers."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, REPLICATIONCONTROLLER)
