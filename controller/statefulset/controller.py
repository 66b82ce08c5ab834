"""The shell of the StatefulSet controller: wakes up, reads caches, carries plans out.

All decisions are in `plan.py`, `history.py` and `wakeups.py`. Invariants: one sync of a
StatefulSet at a time (the queue sees to that), and none before the caches show what the last one
wrote; the status is written even when pods could not be.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from kubeherd.cluster.api.errors import ApiError, BadRequest, NotFound
from kubeherd.cluster.api.kinds import (
    CONTROLLERREVISIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
)
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.api.objects import ControllerRevision, PartialObject, Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.statefulset import history as histories
from kubeherd.controller.statefulset import status
from kubeherd.controller.statefulset.claims import claim_names
from kubeherd.controller.statefulset.execute import Execution
from kubeherd.controller.statefulset.identity import ordinals, parse
from kubeherd.controller.statefulset.makerevision import write_history
from kubeherd.controller.statefulset.memory import Compiled, Memory
from kubeherd.controller.statefulset.model import History, Observed, Plan
from kubeherd.controller.statefulset.plan import plan
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.claiming import carry_out
from kubeherd.controller.workload.memories import Memories
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.storestatus import store_status
from kubeherd.controller.workload.wakeups import Key, Wakeups, key_of
from kubeherd.controller.workload.writer import ObjectWriter

NAME = "statefulset-controller"
WORKERS = 5


class StatefulSetController:
    """Keeps every StatefulSet's pods, claims, revisions and status as they should be."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._statefulsets = context.informers.get(STATEFULSETS, StatefulSet)
        self._revisions = context.informers.get(CONTROLLERREVISIONS, ControllerRevision)
        self._pods = context.informers.get(PODS, Pod)
        self._claims = context.informers.get(PERSISTENTVOLUMECLAIMS, PartialObject)
        self._queue: WorkQueue[Key] = context.queue("statefulset", context.rng.child(NAME))
        self._recorder = context.recorder(NAME)
        self._wakeups = Wakeups(STATEFULSETS.kind, self, self._selector_of)
        self._memories = Memories(lambda: Memory(self._clock))
        self._awaiting_claims: set[Key] = set()
        """Those whose pods wait until a claim is gone; at most all StatefulSets."""
        podindex.add_index(self._pods.cache)
        podindex.add_index(self._revisions.cache)
        podindex.add_namespace_index(self._statefulsets.cache)
        self._statefulsets.on_change(self._statefulset_changed)
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for statefulset in self._statefulsets.cache.values():
            self._queue.add(key_of(statefulset))
        await run_workers(self._queue, self.sync, controller=NAME, workers=WORKERS)

    # --- lookups that wakeups need ---

    def get(self, namespace: str, name: str) -> StatefulSet | None:
        """The cached StatefulSet, or None."""
        return self._statefulsets.cache.get(namespace, name)

    def in_namespace(self, namespace: str) -> Iterable[StatefulSet]:
        """The cached StatefulSets of a namespace."""
        return podindex.in_namespace(self._statefulsets.cache, namespace)

    def _selector_of(self, statefulset: StatefulSet) -> Selector:
        """What it selects; nothing if it is not usable (its own sync says why)."""
        try:
            return self._memories.of(statefulset).compiled(statefulset).selector
        except (ApiError, msgspec.ValidationError):
            return NOTHING

    # --- events ---

    def _statefulset_changed(self, old: StatefulSet | None, new: StatefulSet | None) -> None:
        changed = new or old
        if changed is None:
            return
        key = key_of(changed)
        if new is None:
            self._memories.forget(key)
            self._awaiting_claims.discard(key)
        self._wake(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        for statefulset in self._wakeups.changed(old, new):
            self._wake(key_of(statefulset))

    def _claim_changed(self, old: PartialObject | None, new: PartialObject | None) -> None:
        if new is None and old is not None:
            for key in self._awaiting_claims:
                if key[0] == old.metadata.namespace:
                    self._wake(key)

    def _wake(self, key: Key) -> None:
        memory = self._memories.get(key)
        self._queue.add_after(key, 0.0 if memory is None else memory.pacing.pause_s())

    # --- one sync ---

    async def sync(self, key: Key) -> float | None:
        """Look at one StatefulSet and do what its plan says; seconds until the next look.

        ReconcileError if a write failed; what the others did stays done, the status included.
        """
        known = self._memories.get(key)
        if known is not None:
            await known.written.wait_seen()
        statefulset = self._statefulsets.cache.get(*key)
        if statefulset is None:
            self._memories.forget(key)
            return None
        memory = self._memories.of(statefulset)
        try:
            compiled = memory.compiled(statefulset)
        except BadRequest:
            return None  # it will not get better by being looked at again
        writer = self._writer(statefulset, memory)

        def build(collision_count: int) -> History:
            return self._history(statefulset, compiled, collision_count)

        history = build(statefulset.status.collision_count or 0)
        if statefulset.metadata.deletion_timestamp is None:
            history = await write_history(writer, statefulset, history, build)
        elif history.create is not None:
            return None  # nothing is made for it any more, not even a revision
        chosen = self._plan(statefulset, memory, history)
        errors = await self._carry_out(writer, statefulset, chosen)
        if errors:
            raise ReconcileError("; ".join(dict.fromkeys(str(error) for error in errors)))
        return chosen.requeue_after_s

    def _plan(self, statefulset: StatefulSet, memory: Memory, history: History) -> Plan:
        """Make the plan, and see to it that the next one is not made too soon."""
        started_s = self._clock.monotonic_s()
        chosen = plan(self._observe(statefulset), history, memory.compiled(statefulset).selector)
        memory.pacing.planned(started_s)
        if chosen.awaits_claims:
            self._awaiting_claims.add(key_of(statefulset))
        else:
            self._awaiting_claims.discard(key_of(statefulset))
        return chosen

    def _writer(self, statefulset: StatefulSet, memory: Memory) -> ObjectWriter:
        return ObjectWriter(
            self._client,
            statefulset.metadata.namespace,
            memory.written,
            {
                PODS: self._pods,
                CONTROLLERREVISIONS: self._revisions,
                PERSISTENTVOLUMECLAIMS: self._claims,
                STATEFULSETS: self._statefulsets,
            },
        )

    def _history(
        self, statefulset: StatefulSet, compiled: Compiled, collision_count: int
    ) -> History:
        revisions = podindex.candidates(self._revisions.cache, statefulset.metadata)
        return histories.build(
            statefulset, compiled.data, compiled.selector, revisions, collision_count
        )

    def _observe(self, statefulset: StatefulSet) -> Observed:
        pods = podindex.candidates(self._pods.cache, statefulset.metadata)
        return Observed(
            statefulset=statefulset,
            pods=pods,
            claims=self._claims_of(statefulset, pods),
            age_s=self._clock.age_s,
        )

    def _claims_of(
        self, statefulset: StatefulSet, pods: Iterable[Pod]
    ) -> Mapping[str, PartialObject]:
        """The claims of all wanted ordinals and of all pods that are there."""
        if not statefulset.spec.volume_claim_templates:
            return {}
        namespace = statefulset.metadata.namespace
        wanted = {*ordinals(statefulset), *(parse(pod.metadata.name).ordinal for pod in pods)}
        names = (name for one in wanted for name in claim_names(statefulset, one).values())
        found = ((name, self._claims.cache.get(namespace, name)) for name in names)
        return {name: claim for name, claim in found if claim is not None}

    async def _carry_out(
        self, writer: ObjectWriter, statefulset: StatefulSet, chosen: Plan
    ) -> list[Exception]:
        """Pods first, then the status, revisions that nobody needs last; errors are returned."""
        owner = Owner(STATEFULSETS, statefulset.metadata)
        await carry_out(writer, owner, PODS, chosen.adopt_pods, chosen.release_pods)
        record = recorder_on(self._recorder, owner)
        errors = await Execution(writer, statefulset, record).run(chosen)
        rolled = chosen.roll is not None and not errors
        numbers = chosen.status_rolled if rolled else chosen.status
        try:
            if status.differs(statefulset, numbers):
                tree = status.status_tree(numbers, statefulset.metadata.generation)
                await store_status(writer, owner, tree)
        except (ApiError, TransportError) as error:
            errors.append(error)
        try:
            for revision in chosen.delete_revisions:
                with suppress(NotFound):
                    await writer.delete(CONTROLLERREVISIONS, revision.metadata.name)
        except (ApiError, TransportError) as error:
            errors.append(error)
        return errors
