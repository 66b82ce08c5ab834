"""The shell of the DaemonSet controller: wakes up, reads caches, carries plans out.

All decisions are in `plan.py` and `wakeups.py`. Invariants: one sync of a DaemonSet at a time (the
queue sees to that), and none before the caches show what the last one wrote; the status is written
even when pods could not be created; one that may wait (`status.wait_s`) is looked at again.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Node, Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.metrics import Family, Kind
from kubeherd.controller.daemonset import rollout, status, wakeups
from kubeherd.controller.daemonset.backoff import FailedPodBackoff
from kubeherd.controller.daemonset.execute import Caches, Execution
from kubeherd.controller.daemonset.memory import Memory
from kubeherd.controller.daemonset.model import Known, Now, Plan
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.placements import Placements
from kubeherd.controller.daemonset.plan import count_status, earliest, plan
from kubeherd.controller.daemonset.recall import reported_hold
from kubeherd.controller.daemonset.store_status import store_status
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.daemonset.wakeups import Wake, Wakeups
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.events import Record
from kubeherd.controller.workload.memories import Memories
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.wakeups import Key, key_of

NAME = "daemonset-controller"
SETTLE_TIMEOUT_S = 5.0
"""How long a sync waits for its own writes before it counts the status."""


class DaemonSetController:
    """Keeps every DaemonSet's pods, revisions and status as they should be."""

    def __init__(self, context: Context) -> None:
        self._client, self._reader = context.client, context.reader
        self._clock = context.clock
        self._daemonsets = context.informers.get(DAEMONSETS, DaemonSet)
        self._revisions = context.informers.get(CONTROLLERREVISIONS, ControllerRevision)
        self._pods = context.informers.get(PODS, Pod)
        self._nodes = context.informers.get(NODES, Node)
        self._caches = Caches(self._revisions, self._pods)
        self._rng = context.rng.child(NAME)
        self._queue: WorkQueue[Key] = context.queue("daemonset", self._rng)
        self._node_queue: WorkQueue[str] = context.queue("daemonset-node-updates", self._rng)
        self._recorder = context.recorder(NAME)
        self._wakeups = Wakeups(self, self._selector_of)
        self._backoff = FailedPodBackoff()
        self._memories = Memories(lambda: Memory(self._clock, self._rng))
        self._placements = Placements(self._daemonsets.cache, self._pods.cache, self._nodes.cache)
        self._stale: Counter[tuple[str, str]] = Counter()
        context.families.append(self._families)
        self._index()
        self._subscribe()

    def _index(self) -> None:
        podindex.add_index(self._pods.cache)
        podindex.add_node_index(self._pods.cache)
        podindex.add_index(self._revisions.cache)
        podindex.add_namespace_index(self._daemonsets.cache)

    def _subscribe(self) -> None:
        self._daemonsets.on_change(self._daemonset_changed)
        self._pods.on_change(self._pod_changed)
        self._revisions.on_change(
            lambda old, new: self._wake(self._wakeups.revision_changed(old, new))
        )
        self._nodes.on_change(self._node_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for daemonset in self._daemonsets.cache.values():
            self._queue.add(key_of(daemonset))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_workers(self._queue, self.sync, controller=NAME))
            tasks.create_task(run_workers(self._node_queue, self._sync_node, controller=NAME))

    def _families(self) -> Iterable[Family]:
        yield Family(
            "daemonset_controller_stale_sync_skips_total",
            Kind.COUNTER,
            "Syncs that had to wait until the caches showed the own writes.",
            ("group", "resource"),
            self._stale.items(),
        )

    # --- lookups that wakeups need ---

    def get(self, namespace: str, name: str) -> DaemonSet | None:
        """The cached DaemonSet, or None."""
        return self._daemonsets.cache.get(namespace, name)

    def in_namespace(self, namespace: str) -> Iterable[DaemonSet]:
        """The cached DaemonSets of a namespace."""
        return podindex.in_namespace(self._daemonsets.cache, namespace)

    def _selector_of(self, daemonset: DaemonSet) -> Selector:
        template = self._template(daemonset)
        return NOTHING if template is None else template.selector

    def _template(self, daemonset: DaemonSet) -> Template | None:
        """The compiled template; None if the DaemonSet is not usable (its own sync says why)."""
        try:
            return self._memories.of(daemonset).template(daemonset)
        except (ApiError, msgspec.ValidationError):
            return None

    # --- events ---

    def _daemonset_changed(self, old: DaemonSet | None, new: DaemonSet | None) -> None:
        changed = new or old
        if changed is None:
            return
        key = key_of(changed)
        if new is None:
            self._memories.forget(key)
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._placements.forget(old)
        self._wake([Wake(key)])

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        self._placements.pod_changed(old, new)
        self._wake(self._wakeups.pod_changed(old, new))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None and old is not None:
            self._placements.node_changed(old.metadata.name)
        elif new is not None and wakeups.node_matters(old, new):
            self._placements.node_changed(new.metadata.name)
            self._node_queue.add(new.metadata.name)

    def _wake(self, wakes: Iterable[Wake]) -> None:
        for key, after_s in wakes:
            memory = self._memories.get(key)
            pause_s = 0.0 if memory is None else memory.pacing.pause_s()
            self._queue.add_after(key, max(after_s, pause_s))

    async def _sync_node(self, name: str) -> None:
        """Wake every DaemonSet that a changed node concerns (section 2)."""
        node = self._nodes.cache.get("", name)
        if node is None:
            return
        pods = podindex.on_node(self._pods.cache, name)
        for daemonset in self._daemonsets.cache.values():
            template = self._template(daemonset)
            if template is None:
                continue
            if rollout.selects_nodes(daemonset) or wakeups.node_wakes(
                daemonset, template.rule.decide(node), pods
            ):
                self._wake([Wake(key_of(daemonset))])

    # --- one sync ---

    async def sync(self, key: Key) -> float | None:
        """Look at one DaemonSet and do what its plan says; seconds until the next look.

        ReconcileError if a write failed; what the others did stays done, the status included.
        """
        known = self._memories.get(key)
        if known is not None:
            for resource in known.written.unseen():
                self._stale[resource.group, resource.plural] += 1
            await known.written.wait_seen()
        daemonset = self._daemonsets.cache.get(*key)
        if daemonset is None:
            self._memories.forget(key)
            return None
        memory = self._memories.of(daemonset)
        template = memory.template(daemonset)
        if not memory.recalled:
            memory.hold = await reported_hold(self._reader, daemonset)
            memory.recalled = True
        chosen = self._plan(daemonset, memory, template)
        record = recorder_on(self._recorder, owner(daemonset))
        execution = Execution(
            self._client, self._caches, memory.written, daemonset, record, memory.names
        )
        await execution.history(chosen)
        errors = await self._carry_out(execution, chosen, template, record)
        status_after_s = None
        try:
            hurry = bool(errors)
            status_after_s = await self._store_status(daemonset, chosen, memory, hurry=hurry)
        except ReconcileError as error:
            errors.append(error)
        if errors:
            raise ReconcileError("; ".join(dict.fromkeys(str(error) for error in errors)))
        return earliest(chosen.requeue_after_s, status_after_s)

    def _plan(self, daemonset: DaemonSet, memory: Memory, template: Template) -> Plan:
        """Make the plan, and keep what has to be known next time."""
        now = self._now()
        known = self._known(daemonset, memory.hold)
        memory.names.observed(daemonset.metadata.namespace, self._pods.cache.get)
        placement = self._placements.current(daemonset, template)
        chosen = plan(known, placement, now)
        memory.hold = chosen.hold
        if chosen.backoff:
            uid, generation = daemonset.metadata.uid, daemonset.status.observed_generation
            self._backoff.record(uid, generation, chosen.backoff, now.monotonic_s)
        awaited = 0 if chosen.writes else placement.numbers().awaited
        memory.pacing.planned(now.monotonic_s, awaited=awaited)
        return chosen

    def _known(self, daemonset: DaemonSet, hold: str) -> Known:
        metadata = daemonset.metadata
        return Known(
            daemonset=daemonset,
            node_of=lambda name: self._nodes.cache.get("", name),
            revisions=podindex.candidates(self._revisions.cache, metadata),
            backoff=self._backoff.of(metadata.uid, daemonset.status.observed_generation),
            hold=hold,
        )

    def _now(self) -> Now:
        return Now(monotonic_s=self._clock.monotonic_s(), age_s=self._clock.age_s)

    async def _carry_out(
        self, execution: Execution, chosen: Plan, template: Template, record: Record
    ) -> list[Exception]:
        """Pods first, revisions that are no longer needed last; errors are returned."""
        try:
            await execution.claim_pods(chosen)
            for event in chosen.events:
                record(event)
            hash_ = chosen.hash
            errors = await execution.create_pods(chosen.creates, hash_, template)
            errors += await execution.delete_pods(chosen.deletes)
            if not errors:
                errors += await execution.create_pods(chosen.update_creates, hash_, template)
                errors += await execution.delete_pods(chosen.update_deletes)
            if chosen.failure:
                errors.append(ReconcileError(chosen.failure))
            if not errors:
                await execution.delete_revisions(chosen.delete_revisions)
        except (ReconcileError, ApiError, TransportError) as error:
            return [error]
        return errors

    async def _store_status(
        self, daemonset: DaemonSet, chosen: Plan, memory: Memory, *, hurry: bool
    ) -> float | None:
        """Write the status if it differs and is due; seconds until it is, if it may wait."""
        numbers, generation = chosen.status, daemonset.metadata.generation
        if not chosen.hash or not (chosen.writes or numbers):
            return None
        since_s = math.inf if hurry else self._clock.monotonic_s() - memory.status_at_s
        if left_s := status.wait_s(daemonset.status, generation, numbers, since_s):
            return left_s
        if chosen.writes:
            await memory.written.settled(SETTLE_TIMEOUT_S)
            placement = self._placements.current(daemonset, memory.template(daemonset))
            numbers = count_status(daemonset, placement, chosen.hash, self._now())
            if not status.differs(daemonset.status, generation, numbers):
                return None
        if numbers is None:
            return None
        revision = await store_status(self._client, daemonset, numbers, generation)
        memory.written.note(self._daemonsets, revision)
        memory.status_at_s = self._clock.monotonic_s()
        return None
