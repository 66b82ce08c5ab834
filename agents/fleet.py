"""Many nodes in one process: each with its own identity, heartbeats and pods.

What nodes share is what costs: timers, the bound on writes under way, and, with one credential
for all (`fleet_kubeconfig`), one connection pool and one watch for the pods of all of them.
Invariants: a node's failure to register does not hold up the others; a stop ends the tasks and
leaves Node, Lease and pods in the API as they are.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.kubelet.kubelet import Kubelet
from kubeherd.agents.kubelet.mounts import Mounts
from kubeherd.agents.kubelet.statusmanager import StatusManager
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.node import heartbeat, nodestatus
from kubeherd.agents.node.heartbeat import StatusReporter
from kubeherd.agents.node.lease import LeaseKeeper
from kubeherd.agents.node.localnode import LocalNode
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity
from kubeherd.agents.node.registration import Registered, Registrar
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.events import EventRecorder, ObjectReference
from kubeherd.cluster.client.reflector import ListWatch, Reflector
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import Family, Kind
from kubeherd.cluster.runtime.rng import Rng

MAX_WRITES: Final = 32
MAX_STARTING: Final = 32
LEASE_TICK_S: Final = 0.5
"""Leases of a fleet are renewed at these steps: renewals of the same moment share a request."""
SYNC_TIMEOUT_S: Final = 3600.0
NOT_YET_READY: Final = "container runtime status check may not have completed yet"

_log = structlog.get_logger(__name__)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of a process share."""

    clock: Clock
    rng: Rng
    timers: Timers
    tasks: asyncio.TaskGroup
    writes: asyncio.Semaphore
    registrar: Registrar
    lease_tick_s: float = 0.0
    reboot: bool = False
    pod_log: PodLog | None = None


class Watches:
    """The watches of pods and Nodes that one or all nodes of the process use."""

    def __init__(self, client: ApiClient, clock: Clock, rng: Rng, names: Sequence[str]) -> None:
        """`names`: the nodes; of a single one by the field selectors that a kubelet uses."""
        alone = len(names) == 1
        several = frozenset(() if alone else names)
        pods = ListWatch(
            PODS,
            Pod,
            field_selector=f"spec.nodeName={names[0]}" if alone else "spec.nodeName!=",
            nodes=several,
        )
        nodes = ListWatch(
            NODES,
            Node,
            field_selector=f"metadata.name={names[0]}" if alone else "",
            nodes=several,
        )
        self.pods = Reflector(client, pods, clock=clock, rng=rng.child("pods"))
        self.nodes = Reflector(client, nodes, clock=clock, rng=rng.child("nodes"))
        self._kubelets: dict[str, Kubelet] = {}
        self._on_node: dict[str, Callable[[Node | None, Node | None], None]] = {}
        self.pods.on_change(self._pod_changed)
        self.nodes.on_change(self._node_changed)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Run both watches as tasks of the owner."""
        tasks.create_task(self.pods.run(), name="watch-pods")
        tasks.create_task(self.nodes.run(), name="watch-nodes")

    def attach(
        self,
        name: str,
        kubelet: Kubelet,
        on_node: Callable[[Node | None, Node | None], None],
    ) -> None:
        """From now on tell `kubelet` of its pods and `on_node` of its Node.

        Begins with the pods that are known, those that have an address first: it stays theirs.
        """
        self._kubelets[name] = kubelet
        self._on_node[name] = on_node
        known = [pod for pod in self.pods.cache.values() if pod.spec.node_name == name]
        for pod in sorted(known, key=lambda pod: not pod.status.pod_ip):
            kubelet.observe(None, pod)

    def running_pods(self) -> int:
        """The pods of all attached kubelets that have not ended."""
        return sum(kubelet.running_pods for kubelet in self._kubelets.values())

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and old.spec.node_name != new.spec.node_name:
            # After a list: another pod of the same name, and the end of the first went unseen.
            self._pod_changed(old, None)
            self._pod_changed(None, new)
            return
        pod = new or old
        kubelet = self._kubelets.get(pod.spec.node_name) if pod is not None else None
        if kubelet is not None:
            kubelet.observe(old, new)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        changed = new or old
        tell = self._on_node.get(changed.metadata.name) if changed is not None else None
        if tell is not None:
            tell(old, new)


class NodeAgent:
    """One node: registers, then keeps lease, status and pods until its tasks are cancelled."""

    def __init__(
        self, config: NodeConfig, client: ApiClient, watches: Watches, shared: Shared
    ) -> None:
        self._config = config
        self._client = client
        self._watches = watches
        self._shared = shared
        self._rng = shared.rng.child(config.name)
        self._recorder = EventRecorder(
            client, "kubelet", config.name, shared.clock, self._rng.child("events")
        )
        self._reporter: StatusReporter | None = None
        self._kubelet: Kubelet | None = None

    async def start(self) -> None:
        """Register and start the node's tasks; returns when its status is reported."""
        shared, config = self._shared, self._config
        tasks, clock = shared.tasks, shared.clock
        tasks.create_task(self._recorder.run(), name=f"events-{config.name}")
        self._node_event("Normal", "Starting", "Starting kubelet.")
        registered = await shared.registrar.register(
            self._client, config, reboot=shared.reboot, status_of=self._initial_status
        )
        if registered.created:
            self._pressure_events()
        if registered.rebooted:
            boot_id = registered.identity.boot_id
            message = f"Node {config.name} has been rebooted, boot id: {boot_id}"
            self._node_event("Warning", "Rebooted", message)
        _log.info("node_registered", node=config.name, created=registered.created)
        lease = LeaseKeeper(
            self._client,
            config.name,
            clock,
            self._rng.child("lease"),
            node_uid=lambda: self._node_uid(registered),
            interval_s=self._interval_s,
            tick_s=shared.lease_tick_s,
        )
        tasks.create_task(lease.run(new_node=registered.created), name=f"lease-{config.name}")
        self._kubelet = kubelet = self._new_kubelet(registered)
        self._reporter = reporter = StatusReporter(
            self._client,
            config,
            registered.identity,
            clock,
            self._rng.child("status"),
            observed=self._observed,
            images=lambda: kubelet.runtime.images,
            events=self._node_event,
            existing=registered.tree,
        )
        tasks.create_task(reporter.run(), name=f"status-{config.name}")
        await clock.wait_for(self._watches.nodes.synced.wait(), SYNC_TIMEOUT_S)
        await clock.wait_for(self._watches.pods.synced.wait(), SYNC_TIMEOUT_S)
        self._watches.attach(config.name, kubelet, self._node_changed)
        kubelet.node_changed()
        await clock.wait_for(reporter.reported.wait(), SYNC_TIMEOUT_S)
        if config.pod_manifest_path:
            self._keep_static_pods(registered)

    def _keep_static_pods(self, registered: Registered) -> None:
        from kubeherd.agents.kubelet import staticpods  # noqa: PLC0415 - few nodes have any

        shared, name = self._shared, self._config.name
        directory, now = Path(self._config.pod_manifest_path), format_time(shared.clock.now())
        mirrors = staticpods.MirrorPods(
            self._client,
            staticpods.read_manifests(directory, name, now),
            node_uid=lambda: self._node_uid(registered),
            seen=self._watches.pods.cache.get,
            clock=shared.clock,
            rng=self._rng.child("static pods"),
        )
        self._watches.pods.on_change(mirrors.pod_changed)
        shared.tasks.create_task(mirrors.run(), name=f"static-pods-{name}")

    def _new_kubelet(self, registered: Registered) -> Kubelet:
        shared = self._shared
        node = LocalNode(self._config, registered, self._observed)
        statuses = StatusManager(
            self._client,
            node.name,
            timers=shared.timers,
            tasks=shared.tasks,
            writes=shared.writes,
            clock=shared.clock,
            rng=self._rng.child("pods"),
        )
        return Kubelet(
            node,
            statuses,
            Mounts(self._client, shared.tasks, shared.clock),
            recorder=self._recorder,
            timers=shared.timers,
            clock=shared.clock,
            pod_log=shared.pod_log,
        )

    def _pressure_events(self) -> None:
        """A new Node's first conditions are changes too; Ready follows when it is reported."""
        for condition in nodestatus.conditions(self._config.annotations):
            if condition.type != "Ready":
                message = f"Node {self._config.name} status is now: {condition.event}"
                self._node_event("Normal", condition.event, message)
        self._node_event(
            "Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods"
        )

    def _initial_status(self, identity: NodeIdentity) -> JsonObject:
        now = format_time(self._shared.clock.now())
        wanted = nodestatus.conditions(self._config.annotations, NOT_YET_READY)
        trees, _, _ = nodestatus.condition_trees(wanted, {}, now)
        return {**nodestatus.status_content(self._config, identity, ()), "conditions": trees}

    def _observed(self) -> Node | None:
        return self._watches.nodes.cache.get("", self._config.name)

    def _node_uid(self, registered: Registered) -> str:
        if not self._watches.nodes.synced.is_set():
            return registered.uid
        seen = self._observed()
        return seen.metadata.uid if seen is not None else ""

    def _interval_s(self) -> float:
        seen = self._observed()
        return heartbeat.interval_s(
            seen.metadata.annotations if seen is not None else self._config.annotations
        )

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            _log.warning("node_deleted", node=self._config.name, note="not registered again")
            return
        if old is None:
            return
        if old.spec.unschedulable != new.spec.unschedulable:
            reason = "NodeNotSchedulable" if new.spec.unschedulable else "NodeSchedulable"
            message = f"Node {self._config.name} status is now: {reason}"
            self._node_event("Normal", reason, message)
        if old.metadata.annotations != new.metadata.annotations and self._reporter is not None:
            self._reporter.look_again()
            if self._kubelet is not None:
                self._kubelet.node_changed()

    def _node_event(self, type_: str, reason: str, message: str) -> None:
        reference = ObjectReference(api_version="v1", kind="Node", name=self._config.name)
        self._recorder.event(reference, type_, reason, message)


class Fleet:
    """All nodes of a process. `run` ends only by cancellation or an unexpected error."""

    def __init__(
        self,
        configs: Sequence[NodeConfig],
        client_for: Callable[[str], ApiClient],
        *,
        one_identity: bool,
        clock: Clock,
        rng: Rng,
        reboot: bool = False,
        pod_log: PodLog | None = None,
    ) -> None:
        """`client_for(name)`: a client with a node's identity; the same for all if
        `one_identity`."""
        self._configs = configs
        self._client_for = client_for
        self._one_identity = one_identity
        self._clock = clock
        self._rng = rng
        self._reboot = reboot
        self._pod_log = pod_log
        self._watching: list[Watches] = []

    def families(self) -> Iterable[Family]:
        """What a kubelet counts: its name, and the pods that it runs."""
        yield Family(
            "kubelet_node_name",
            Kind.GAUGE,
            "The nodes of this process.",
            ("node",),
            [((config.name,), 1) for config in self._configs],
        )
        running = sum(watches.running_pods() for watches in self._watching)
        yield Family(
            "kubelet_running_pods", Kind.GAUGE, "Pods that have not ended.", (), [((), running)]
        )

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run the nodes; calls `on_ready` once, when all of them have reported their status."""
        clock, rng = self._clock, self._rng
        async with asyncio.TaskGroup() as tasks:
            timers = Timers(clock)
            tasks.create_task(timers.run(), name="timers")
            shared = Shared(
                clock=clock,
                rng=rng,
                timers=timers,
                tasks=tasks,
                writes=asyncio.Semaphore(MAX_WRITES),
                registrar=Registrar(clock, rng.child("registrar")),
                lease_tick_s=LEASE_TICK_S if self._one_identity else 0.0,
                reboot=self._reboot,
                pod_log=self._pod_log,
            )
            await self._start(shared)
            on_ready()

    async def _start(self, shared: Shared) -> None:
        names = [config.name for config in self._configs]
        common = self._watches(names, shared) if self._one_identity else None
        at_once = asyncio.Semaphore(MAX_STARTING)

        async def start(config: NodeConfig) -> None:
            async with at_once:
                watches = common or self._watches([config.name], shared)
                client = self._client_for(config.name)
                await NodeAgent(config, client, watches, shared).start()

        async with asyncio.TaskGroup() as starting:
            for config in self._configs:
                starting.create_task(start(config), name=f"start-{config.name}")

    def _watches(self, names: Sequence[str], shared: Shared) -> Watches:
        client = self._client_for(names[0])
        watches = Watches(client, self._clock, self._rng.child(f"watch/{names[0]}"), names)
        watches.start(shared.tasks)
        self._watching.append(watches)
        return watches
