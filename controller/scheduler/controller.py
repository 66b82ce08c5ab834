"""The scheduling loop: pods without a node in, bindings or reasons out (spec 1, 4, 5, 6).

Decisions are synchronous, on a cache fed by the shared informers, so nothing can change between
looking and assuming; writes run beside the loop, bounded in number, the bindings of one moment
together. Invariants: a pod is in the queue, being written, or done, never two of these; a failed
write gives its room back and puts the pod back into the queue with back-off.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import ApiError, Conflict
from kubeherd.cluster.api.kinds import NODES, PODDISRUPTIONBUDGETS, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.client.events import EventApi
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.disruption.objects import PodDisruptionBudget
from kubeherd.controller.manager import Context
from kubeherd.controller.references import pod_reference
from kubeherd.controller.scheduler import messages, plan, scores, volumes
from kubeherd.controller.scheduler.cache import Cache
from kubeherd.controller.scheduler.nodeinfo import Key, Placement, PodInfo, placement, pod_info
from kubeherd.controller.scheduler.preemption import Budget, Preemption, Victims, preempt
from kubeherd.controller.scheduler.queue import SchedulingQueue
from kubeherd.controller.scheduler.relevance import is_waiting, node_matters, pod_matters
from kubeherd.controller.scheduler.volumebinder import VolumeBinder
from kubeherd.controller.scheduler.volumes import BindingFailed, Decision
from kubeherd.controller.scheduler.writer import COMPONENT, SchedulerWriter

PARALLEL_WRITES = 128
FREED_BY_PODS = frozenset({"NodePorts", "NodeResourcesFit"})
"""What a pod that leaves a node can lift."""
UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"

_log = structlog.get_logger(__name__)


class Binding(msgspec.Struct, frozen=True):
    """A pod and the node that was decided on, on which it is assumed."""

    key: Key
    info: PodInfo
    node: str


Writes = Binding | Coroutine[Any, Any, None]
"""What follows from a decision: bindings of one moment are written together."""


class Scheduler:
    """Assigns the pods of the profile ``default-scheduler`` to nodes."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._rng = context.rng.child("scheduler")
        self._pods = context.informers.get(PODS, Pod)
        self._nodes = context.informers.get(NODES, Node)
        self._budgets = context.informers.get(PODDISRUPTIONBUDGETS, PodDisruptionBudget)
        self._recorder = context.recorder(COMPONENT, EventApi.EVENTS_V1)
        self._writer = SchedulerWriter(context.client, context.clock)
        self._volumes = VolumeBinder(context, self._wake)
        self._cache = Cache()
        self._queue = SchedulingQueue()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)
        self._start = 0
        self._nodes.on_change(self._node_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Schedule until cancelled."""
        self._queue = SchedulingQueue()
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)
        self._cache.forget_all()
        self._volumes.forget_all()
        for pod in self._pods.cache.values():
            if is_waiting(pod):
                self._enqueue(pod)
        gathered: list[Binding] = []
        async with asyncio.TaskGroup() as tasks:
            while True:
                key = self._queue.pop(self._clock.monotonic_s())
                if gathered and (key is None or self._slots.locked()):
                    tasks.create_task(self._bind_all(gathered))
                    gathered = []
                if key is None:
                    await self._until_due()
                    continue
                await self._slots.acquire()
                write = self._turn(key)
                if write is None:
                    self._slots.release()
                elif isinstance(write, Binding):
                    gathered.append(write)
                else:
                    tasks.create_task(self._carry_out(key, write))

    async def _until_due(self) -> None:
        due_s = self._queue.next_s()
        self._changed.clear()
        if due_s is None:
            await self._changed.wait()
            return
        try:
            pause_s = max(0.0, due_s - self._clock.monotonic_s())
            await self._clock.wait_for(self._changed.wait(), pause_s)
        except TimeoutError:
            return

    async def _carry_out(self, key: Key, write: Coroutine[Any, Any, None]) -> None:
        try:
            await write
        except (ApiError, TransportError, TimeoutError) as error:
            _log.warning("pod_not_written", pod="/".join(key), error=str(error))
        except Exception:  # top of one pod's turn: a surprise must not stop the other pods
            _log.exception("scheduling_crashed", pod="/".join(key))
            self._give_back(key)
        finally:
            self._slots.release()

    def _give_back(self, key: Key) -> None:
        """Queue a pod again whose turn ended nobody knows how."""
        pod = self._pods.cache.get(*key)
        if pod is not None:
            self._cache.forget(pod.metadata.uid)
        self._queue.failed(key, self._clock.monotonic_s(), retry=True)
        self._changed.set()

    # --- what the watches say ---

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._cache.remove_node(old.metadata.name)
            return
        self._cache.set_node(new)
        if old is None or node_matters(old, new):
            self._queue.wake_for_node(new.metadata.name, self._clock.monotonic_s())
            self._changed.set()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old)
            old = None
        if new is None:
            return
        meta = new.metadata
        if new.spec.node_name:
            if old is None or not old.spec.node_name:
                self._queue.discard((meta.namespace, meta.name))
                self._cache.drop_nomination(meta.uid)
                self._neighbours_changed()
            elif old.metadata.labels != meta.labels:
                self._neighbours_changed()
            if self._cache.set_pod(new):
                self._room_on(new.spec.node_name)
                self._neighbours_changed()
        elif is_waiting(new):
            nominated = new.status.nominated_node_name
            if nominated != (old.status.nominated_node_name if old else ""):
                self._cache.nominate(pod_info(new), nominated)
            if old is not None and pod_matters(old, new):
                self._queue.wake((meta.namespace, meta.name), self._clock.monotonic_s())
            self._enqueue(new)

    def _gone(self, pod: Pod) -> None:
        meta = pod.metadata
        self._queue.discard((meta.namespace, meta.name))
        self._cache.drop_nomination(meta.uid)
        node = self._cache.remove_pod(meta.uid)
        if node is not None:
            self._room_on(node)
            self._neighbours_changed()

    def _room_on(self, node: str) -> None:
        self._queue.wake_for_node(node, self._clock.monotonic_s(), FREED_BY_PODS)
        self._changed.set()

    def _neighbours_changed(self) -> None:
        """A bound pod came, went or has other labels: terms about other pods may hold now."""
        if self._queue.wake_for_neighbours(self._clock.monotonic_s()):
            self._changed.set()

    def _wake(self, keys: Iterable[Key]) -> None:
        """What these pods' claims wait for may be there."""
        for key in keys:
            self._queue.wake(key, self._clock.monotonic_s())
        self._changed.set()

    def _enqueue(self, pod: Pod) -> None:
        meta = pod.metadata
        if not self._cache.is_assumed(meta.uid):
            key = meta.namespace, meta.name
            self._queue.add(key, pod.spec.priority or 0, self._clock.monotonic_s())
            self._changed.set()

    # --- one pod's turn ---

    def _turn(self, key: Key) -> Writes | None:
        """`_schedule`, after which a surprise has cost this pod its turn and no other pod."""
        try:
            return self._schedule(key)
        except Exception:  # top of one pod's decision, as `_carry_out` is of its writes
            _log.exception("scheduling_crashed", pod="/".join(key))
            self._give_back(key)
            return None

    def _schedule(self, key: Key) -> Writes | None:
        """Decide about one pod; returns the writes that follow, None if there are none."""
        pod = self._pods.cache.get(*key)
        if pod is None or not is_waiting(pod) or self._cache.is_assumed(pod.metadata.uid):
            self._queue.discard(key)
            return None
        if pod.metadata.deletion_timestamp is not None:
            self._queue.discard(key)
            text = f"skip schedule deleting pod: {key[0]}/{key[1]}"
            self._event(pod, "Warning", "FailedScheduling", "Scheduling", text)
            return None
        if not self._volumes.ready_for(pod):
            return self._when_volumes_are_known(key)
        info, where = pod_info(pod), placement(pod)
        nodes = self._cache.nodes
        found = self._volumes.examine(pod)
        if isinstance(found, str):
            refused = plan.Attempt(len(nodes), whole=found, whole_by=volumes.PLUGIN)
            return self._no_node(key, info, where, refused)
        where = plan.with_rules(where, self._cache.rules_for(info, where), found)
        result = plan.attempt(info, where, nodes, self._cache.nominated, self._start)
        if where.names is None:
            self._start += result.examined
        if not result.feasible:
            return self._no_node(key, info, where, result)
        node = self._best(info, result)
        self._cache.assume(info, node)
        binding = Binding(key, info, node)
        first = self._volumes.assume(where.volumes, nodes[node].node)
        return binding if first is None else self._bind_with_volumes(binding, first)

    async def _when_volumes_are_known(self, key: Key) -> None:
        await self._volumes.wait_synced()
        pod = self._pods.cache.get(*key)
        self._queue.discard(key)
        if pod is not None and is_waiting(pod):
            self._enqueue(pod)

    def _best(self, info: PodInfo, result: plan.Attempt) -> str:
        if len(result.feasible) == 1:
            return result.feasible[0].name
        return plan.choose(scores.score(info, result.feasible), self._rng.choice)

    async def _bind_all(self, bindings: Sequence[Binding]) -> None:
        """Write the bindings of one moment, and give their slots back."""
        errors: Sequence[Exception | None]
        try:
            errors = await self._writer.bind_all([(one.info.pod, one.node) for one in bindings])
        except Exception as surprise:  # each pod's turn says so
            errors = [surprise] * len(bindings)
        for binding, error in zip(bindings, errors, strict=True):
            await self._carry_out(binding.key, self._bound(binding, error))

    async def _bind_with_volumes(self, binding: Binding, first: Decision) -> None:
        """Write what has been decided of the volumes first."""
        pod = binding.info.pod
        error: Exception | None
        try:
            await self._volumes.bind(pod, first, self._slots)
            (error,) = await self._writer.bind_all([(pod, binding.node)])
        except (ApiError, TransportError, TimeoutError, BindingFailed) as failed:
            error = failed
        await self._bound(binding, error)

    async def _bound(self, binding: Binding, error: Exception | None) -> None:
        """A binding was written, or ended with this error."""
        key, info = binding.key, binding.info
        if isinstance(error, (ApiError, TransportError, TimeoutError, BindingFailed)):
            freed = self._cache.forget(info.uid)
            if freed is not None:
                self._room_on(freed)
            if self._replaced(key, info):
                return
            current = self._pods.cache.get(*key)
            if current is None or current.spec.node_name or _is_bound(error):
                self._queue.discard(key)
                return
            of_volumes = isinstance(error, BindingFailed)
            why = str(error) if of_volumes else f'running Bind plugin "DefaultBinder": {error}'
            await self._error(key, info.pod, why)
            return
        if error is not None:
            raise error
        if not self._replaced(key, info):
            self._queue.discard(key)
        self._cache.drop_nomination(info.uid)
        namespace, name = key
        self._event(
            info.pod,
            "Normal",
            "Scheduled",
            "Binding",
            f"Successfully assigned {namespace}/{name} to {binding.node}",
        )

    def _replaced(self, key: Key, info: PodInfo) -> bool:
        """Whether another pod has the name by now: its place in the queue is its own."""
        current = self._pods.cache.get(*key)
        return current is not None and current.metadata.uid != info.uid

    def _event(self, pod: Pod, type_: str, reason: str, action: str, note: str) -> None:
        note = messages.cut_note(note)
        self._recorder.event(pod_reference(pod), type_, reason, note, action=action)

    def _error(self, key: Key, pod: Pod, message: str) -> Coroutine[Any, Any, None]:
        self._queue.failed(key, self._clock.monotonic_s(), retry=True)
        self._changed.set()
        self._event(pod, "Warning", "FailedScheduling", "Scheduling", message)
        return self._writer.set_unschedulable(pod, SCHEDULER_ERROR, message, None)

    def _no_node(
        self, key: Key, info: PodInfo, where: Placement, result: plan.Attempt
    ) -> Coroutine[Any, Any, None]:
        outcome = Preemption()
        message = plan.failure_message(result)
        nodes = self._cache.nodes
        if nodes:
            nominated = self._cache.nominated
            outcome = preempt(info, where, result, nodes, nominated, self._current_budgets(info))
            message = messages.with_preemption(message, outcome.message)
        self._queue.failed(key, self._clock.monotonic_s(), result.plugins, where.names)
        self._event(info.pod, "Warning", "FailedScheduling", "Scheduling", message)
        if outcome.victims is not None:
            self._cache.nominate(info, outcome.victims.node)
            return self._preempt(info, outcome.victims, message)
        clear = outcome.clear_nomination or not nodes
        if clear:
            self._cache.drop_nomination(info.uid)
        return self._writer.set_unschedulable(
            info.pod, UNSCHEDULABLE, message, "" if clear else None
        )

    def _current_budgets(self, info: PodInfo) -> list[Budget]:
        if info.priority <= 0:
            return []
        return [_budget(item) for item in self._budgets.cache.values()]

    async def _preempt(self, info: PodInfo, victims: Victims, message: str) -> None:
        """Evict the victims, void lesser nominations, then write the preemptor's status."""
        for victim in victims.pods:
            await self._writer.evict(victim.pod)
            self._event(
                victim.pod,
                "Normal",
                "Preempted",
                "Preempting",
                f"Preempted by pod {info.uid} on node {victims.node}",
            )
        for other in list(self._cache.nominated.get(victims.node, ())):
            if other.priority < info.priority:
                self._cache.drop_nomination(other.uid)
                await self._writer.clear_nomination(other.pod)
        await self._writer.set_unschedulable(info.pod, UNSCHEDULABLE, message, victims.node)


def _is_bound(error: Exception) -> bool:
    """Whether a refused binding was carried out before: the answer to an earlier try was lost, and
    the watch has not told of it. To the pod nothing has happened that it should be told."""
    return isinstance(error, Conflict) and "is already assigned to node" in error.message


def _budget(item: PodDisruptionBudget) -> Budget:
    selector = labels.from_selector(item.spec.selector)
    return Budget(
        item.metadata.namespace,
        selector.matches,
        item.status.disruptions_allowed,
        frozenset(item.status.disrupted_pods),
    )
