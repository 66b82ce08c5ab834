"""The node lifecycle controller: caches in, pure decisions, writes out (spec 3 to 6).

Invariants: a pass over all nodes costs no I/O unless a node fell silent, and looks at those only
that are not well (`settled`), or whose Lease was not renewed for too long; every write of a pass is
bounded in number and retried in the next pass; NoSchedule taints follow the node's object within
one reconcile, NoExecute taints only at the rate of their zone.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping

import structlog

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import LEASES, NODES, PODS
from kubeherd.cluster.api.objects import Lease, Node, Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.metrics import Family, stopwatch_s
from kubeherd.controller.manager import Context
from kubeherd.controller.nodes import health, measures, taints, zones
from kubeherd.controller.nodes.health import Health, Status
from kubeherd.controller.nodes.settled import Settled
from kubeherd.controller.nodes.writer import NodeWriter
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.pods import podindex

MONITOR_PERIOD_S = 5.0
PARALLEL_WRITES = 30
WORKERS = 16
"""Twice those of Kubernetes: a worker writes a node and waits, and what several write at a time is
one request. When a thousand nodes come up each gets its taint taken away."""
LEASE_NAMESPACE = "kube-node-lease"

_log = structlog.get_logger(__name__)


class NodeLifecycleController:
    """Runs the monitor pass, the NoExecute queues, and reconciles single nodes and pods."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._nodes = context.informers.get(NODES, Node)
        self._pods = context.informers.get(PODS, Pod)
        self._leases = context.informers.get(LEASES, Lease)
        self._writer = NodeWriter(
            context.client, context.recorder("node-controller"), context.clock, context.rng
        )
        self._node_queue: WorkQueue[str] = context.queue("node_lifecycle_controller")
        self._pod_queue: WorkQueue[tuple[str, str]] = context.queue(
            "node_lifecycle_controller_pods"
        )
        self._health: dict[str, Health] = {}
        self._known: dict[str, Node] = {}
        self._retry: set[str] = set()
        self._settled = Settled()
        self._zone_states: dict[str, zones.ZoneState] = {}
        self._zone_queues: dict[str, zones.ZoneQueue] = {}
        self._waiting = asyncio.Event()
        self._measures = measures.Measures()
        context.families.append(self._families)
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)
        podindex.add_node_index(self._pods.cache)
        self._nodes.on_change(self._node_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled; a new run gives every node a fresh grace period."""
        self._health.clear()
        self._known.clear()
        self._retry.clear()
        self._settled.clear()
        self._zone_states.clear()
        self._zone_queues.clear()
        for node in self._nodes.cache.values():
            self._node_queue.add(node.metadata.name)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._monitor(), name="node-monitor")
            tasks.create_task(self._spread_taints(), name="node-noexecute")
            tasks.create_task(
                run_workers(
                    self._node_queue, self._reconcile_node, controller="node", workers=WORKERS
                )
            )
            tasks.create_task(
                run_workers(
                    self._pod_queue, self._reconcile_pod, controller="node-pod", workers=WORKERS
                )
            )

    # --- single nodes and pods, as their objects change ---

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None and (
            old is None
            or taints.no_schedule_change(new)
            or health.stable_labels(new.metadata.labels)
        ):
            self._node_queue.add(new.metadata.name)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or not new.spec.node_name:
            return
        moved = old is None or old.spec.node_name != new.spec.node_name
        if moved and self._is_down(new.spec.node_name):
            self._pod_queue.add((new.metadata.namespace, new.metadata.name))

    async def _reconcile_node(self, name: str) -> None:
        node = self._nodes.cache.get("", name)
        if node is None:
            return
        await self._writer.change_taints(node, taints.no_schedule_change(node))
        labels = health.stable_labels(node.metadata.labels)
        if labels:
            await self._writer.set_labels(name, labels)

    async def _reconcile_pod(self, key: tuple[str, str]) -> None:
        pod = self._pods.cache.get(*key)
        if pod is None:
            return
        if self._is_down(pod.spec.node_name):
            await self._writer.mark_pod_not_ready(pod)

    def _is_down(self, node_name: str) -> bool:
        """Whether the last pass found the node not ready, and it still shows that.

        A pass is up to 5 s old: a node that became Ready since must not lose its new pods.
        """
        known = self._health.get(node_name)
        if known is None or known.ready in (None, Status.TRUE):
            return False
        node = self._nodes.cache.get("", node_name)
        if node is None:
            return True
        return not any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)

    # --- the monitor pass ---

    async def _monitor(self) -> None:
        while True:
            started_s = self._clock.monotonic_s()
            await self._pass()
            await self._clock.sleep(MONITOR_PERIOD_S - (self._clock.monotonic_s() - started_s))

    def _families(self) -> Iterable[Family]:
        zone_of = {name: zones.zone_key(node.metadata.labels) for name, node in self._known.items()}
        healthy = {name for name, known in self._health.items() if known.ready == Status.TRUE}
        return self._measures.families(zone_of, healthy)

    async def _pass(self) -> None:
        started_s = stopwatch_s()
        nodes = list(self._nodes.cache.values())
        fresh = self._settled.others(nodes)
        await self._meet(fresh, len(nodes))
        now_s = self._clock.monotonic_s()
        looks_s = stopwatch_s()
        due = self._due(now_s)
        unsettled = self._settled.others(nodes) if due else fresh
        silent: list[Node] = []
        for name, node in unsettled.items():
            known = self._observe(node, now_s)
            if known.ready == Status.UNKNOWN and name not in self._retry:
                continue
            if health.is_silent(known, now_s) or name in self._retry:
                silent.append(node)
        if nodes:
            self._measures.nodes.observe((stopwatch_s() - looks_s) / len(nodes), len(nodes))
        skipped: set[str] = set()
        await self._all(self._handle_silent(node, skipped) for node in silent)
        looked = {name: node for name, node in unsettled.items() if name not in skipped}
        await self._decide_taints(looked.values())
        await self._update_zones(nodes, looked)
        handled = {node.metadata.name for node in silent}
        for name, node in looked.items():
            if name not in handled:
                self._settled.settle(node, self._health[name].ready)
        self._measures.passes.observe(stopwatch_s() - started_s)

    def _due(self, now_s: float) -> bool:
        """Whether settled nodes were silent for too long; they are settled no more."""
        due: list[str] = []
        leases = self._leases.cache
        for name in self._settled.nodes:
            known = self._health[name]
            lease = leases.get(LEASE_NAMESPACE, name)
            if lease is not None and lease.spec.renew_time != known.renew_time:
                known = self._health[name] = health.renewed(known, lease.spec.renew_time, now_s)
            if health.is_silent(known, now_s):
                due.append(name)
        for name in due:
            self._settled.drop(name)
        return bool(due)

    def _observe(self, node: Node, now_s: float) -> Health:
        name = node.metadata.name
        lease = self._leases.cache.get(LEASE_NAMESPACE, name)
        known = self._health.get(name)
        created_s = now_s
        if known is None and node.metadata.creation_timestamp:
            created_s -= self._clock.age_s(node.metadata.creation_timestamp)
        renew_time = None if lease is None else lease.spec.renew_time
        seen = health.observe(known, node, renew_time, now_s, created_s)
        if seen is not known:
            self._health[name] = seen
        return seen

    async def _meet(self, nodes: dict[str, Node], count: int) -> None:
        """Greet nodes seen for the first time, take leave of those that are gone. `nodes`: those
        whose objects have changed, and maybe others; there are so many in all."""
        fresh: list[Node] = []
        for name, node in nodes.items():
            old = self._known.get(name)
            self._known[name] = node
            if old is None or old.metadata.uid != node.metadata.uid:
                if old is not None:
                    self._health.pop(name, None)
                fresh.append(node)
                self._writer.node_event(
                    node,
                    "RegisteredNode",
                    f"Node {name} event: Registered Node {name} in Controller",
                )
                self._zone(node)
                condition = nodeutil.ready_condition(node)
                if condition is not None and condition.status == Status.UNKNOWN:
                    self._retry.add(name)  # a predecessor may have died before it marked the pods
        gone: list[str] = []
        if len(self._known) > count:
            gone = [name for name in self._known if self._nodes.cache.get("", name) is None]
        for name in gone:
            node = self._known.pop(name)
            self._settled.drop(name)
            self._writer.node_event(
                node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller"
            )
            self._health.pop(name, None)
            self._retry.discard(name)
            self._unqueue(name)
        await self._all(
            self._writer.change_taints(node, change)
            for node in fresh
            if (change := taints.clear_change(node.spec.taints))
        )

    async def _handle_silent(self, node: Node, skipped: set[str]) -> None:
        """Steps 3 and 5 of the pass for a node whose grace is over, or whose pods are still due."""
        name = node.metadata.name
        known = self._health[name]
        if health.is_silent(known, self._clock.monotonic_s()):
            try:
                before, after = await self._writer.silence(name, known.heartbeat)
            except (ApiError, TransportError, TimeoutError) as error:
                _log.warning("node_status_not_written", node=name, error=str(error))
                skipped.add(name)
                self._retry.add(name)
                return
            known = Health(known.probe_s, known.heartbeat, known.renew_time, after)
            self._health[name] = known
            if before == Status.TRUE and after != Status.TRUE:
                self._retry.add(name)
                self._writer.node_event(
                    node, "NodeNotReady", f"Node {name} status is now: NodeNotReady"
                )
                _log.info("node_not_ready", node=name)
        if known.ready == Status.TRUE:
            self._retry.discard(name)
        elif name in self._retry:
            await self._mark_pods(name)

    async def _mark_pods(self, name: str) -> None:
        """Mark all pods of a silent node not ready; what failed is due again in the next pass."""
        self._retry.discard(name)
        for pod in podindex.on_node(self._pods.cache, name):
            try:
                await self._writer.mark_pod_not_ready(pod)
            except (ApiError, TransportError, TimeoutError) as error:
                _log.info("pod_not_marked", pod=pod.metadata.name, node=name, error=str(error))
                self._retry.add(name)

    async def _decide_taints(self, nodes: Iterable[Node]) -> None:
        """Step 4: queue, swap or clear NoExecute taints by the Ready status after this pass."""
        changes: list[tuple[Node, taints.TaintChange]] = []
        for node in nodes:
            ready = self._health[node.metadata.name].ready
            wanted = taints.no_execute_key(ready)
            if wanted is None:
                if ready == Status.TRUE:
                    self._unqueue(node.metadata.name)
                    if node.spec.taints and (change := taints.clear_change(node.spec.taints)):
                        changes.append((node, change))
                continue
            change = taints.swap_change(node.spec.taints, wanted)
            if change.add and change.remove:
                changes.append((node, change))
            elif change.add:
                self._zone(node).waiting.setdefault(node.metadata.name)
        await self._all(self._writer.change_taints(node, change) for node, change in changes)

    # --- zones and the rate-limited taints ---

    async def _update_zones(self, nodes: Iterable[Node], looked: Mapping[str, Node]) -> None:
        """`nodes`: all; `looked`: those that are not settled, but for those that were skipped."""
        ready_by_zone = self._settled.ready_by_zone()
        for name, node in looked.items():
            if zones.is_counted(node):
                zone = zones.zone_key(node.metadata.labels)
                ready_by_zone.setdefault(zone, []).append(self._health[name].ready)
        change = zones.disruption(self._zone_states, ready_by_zone)
        now_s = self._clock.monotonic_s()
        for zone, state in change.states.items():
            if self._zone_states.get(zone) is not state:
                _log.info("zone_state", zone=zone, state=state.value)
        self._zone_states = dict(change.states)
        for zone, rate in change.rates.items():
            self._zone_queue(zone).bucket.swap(rate, now_s)
        if change.reset_probes:
            self._health = {
                name: Health(now_s, known.heartbeat, known.renew_time, known.ready)
                for name, known in self._health.items()
            }
        if change.clear_all:
            await self._all(
                self._writer.change_taints(node, clear)
                for node in nodes
                if (clear := taints.clear_change(node.spec.taints))
            )
        if any(queue.waiting for queue in self._zone_queues.values()):
            self._waiting.set()

    def _zone(self, node: Node) -> zones.ZoneQueue:
        return self._zone_queue(zones.zone_key(node.metadata.labels))

    def _zone_queue(self, zone: str) -> zones.ZoneQueue:
        queue = self._zone_queues.get(zone)
        if queue is None:
            bucket = zones.TokenBucket(zones.EVICTION_RATE, self._clock.monotonic_s())
            queue = self._zone_queues[zone] = zones.ZoneQueue(bucket)
        return queue

    def _unqueue(self, name: str) -> None:
        for queue in self._zone_queues.values():
            queue.waiting.pop(name, None)

    async def _spread_taints(self) -> None:
        """Every 100 ms while nodes wait: give the NoExecute taint to those whose turn it is."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while any(queue.waiting for queue in self._zone_queues.values()):
                now_s = self._clock.monotonic_s()
                for queue in list(self._zone_queues.values()):
                    name = queue.next_due(now_s)
                    if name is not None:
                        await self._taint(name, queue)
                try:
                    await self._clock.wait_for(self._waiting.wait(), self._pause_s())
                    self._waiting.clear()
                except TimeoutError:
                    continue

    def _pause_s(self) -> float:
        """Until the next token of a zone with waiting nodes, at least one taint pass."""
        now_s = self._clock.monotonic_s()
        due = [
            moment - now_s
            for queue in self._zone_queues.values()
            if queue.waiting and (moment := queue.bucket.ready_at_s()) is not None
        ]
        until_due_s = min(due, default=MONITOR_PERIOD_S)
        return min(max(until_due_s, zones.TAINT_PASS_PERIOD_S), MONITOR_PERIOD_S)

    async def _taint(self, name: str, queue: zones.ZoneQueue) -> None:
        node = self._nodes.cache.get("", name)
        condition = None if node is None else nodeutil.ready_condition(node)
        wanted = taints.no_execute_key(None if condition is None else condition.status)
        if node is None or wanted is None:
            return
        try:
            await self._writer.change_taints(node, taints.swap_change(node.spec.taints, wanted))
        except (ApiError, TransportError, TimeoutError) as error:
            _log.warning("node_not_tainted", node=name, error=str(error))
            queue.waiting.setdefault(name)
            self._settled.drop(name)
        else:
            self._measures.evictions[zones.zone_key(node.metadata.labels)] += 1

    async def _all(self, writes: Iterable[Awaitable[None]]) -> None:
        """Run writes side by side, at most `PARALLEL_WRITES`; failures wait for the next pass."""

        async def one(write: Awaitable[None]) -> None:
            async with self._slots:
                try:
                    await write
                except (ApiError, TransportError, TimeoutError) as error:
                    _log.warning("node_write_failed", error=str(error))

        async with asyncio.TaskGroup() as tasks:
            for write in writes:
                tasks.create_task(one(write))
