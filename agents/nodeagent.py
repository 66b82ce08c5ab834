"""The agent of one node: registers it, then keeps lease, status and pods until it is cancelled."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from kubeherd.agents.equipment import Equipment
from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.kubelet.kubelet import Kubelet
from kubeherd.agents.kubelet.mounts import Mounts
from kubeherd.agents.kubelet.podwrites import PodWrites
from kubeherd.agents.kubelet.statusmanager import StatusManager
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.node import heartbeat, nodestatus
from kubeherd.agents.node.beat import Beat, Heart
from kubeherd.agents.node.heartbeat import StatusReporter
from kubeherd.agents.node.lease import LeaseKeeper
from kubeherd.agents.node.localnode import LocalNode
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity
from kubeherd.agents.node.registration import Registered, Registrar
from kubeherd.agents.watches import Watches
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.events import EventRecorder, ObjectReference
from kubeherd.cluster.runtime.bell import Bell
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

if TYPE_CHECKING:
    from kubeherd.agents.kubelet.staticpods import MirrorPods

SYNC_TIMEOUT_S: Final = 3600.0
NOT_YET_READY: Final = "container runtime status check may not have completed yet"

_log = structlog.get_logger(__name__)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of a process share."""

    clock: Clock
    rng: Rng
    timers: Timers
    tasks: asyncio.TaskGroup
    """Owns the nodes; each node owns its own."""
    writes: PodWrites
    registrar: Registrar
    tick_s: float = 0.0
    """See `agents.node.beat`."""
    pod_log: PodLog | None = None


class NodeAgent:
    """One life of a node. It listens to `watches` for it."""

    def __init__(
        self,
        config: NodeConfig,
        equipment: Equipment,
        watches: Callable[[asyncio.TaskGroup], Watches],
        shared: Shared,
        rng: Rng,
        *,
        reboot: bool = False,
    ) -> None:
        """`watches`: makes them, or has them; `rng`: of this life alone; `reboot`: the machine was
        rebooted since the last one."""
        self.started = Bell()
        """The node's status is reported, or the life is over."""
        self._config = config
        self._equipment = equipment
        self._watches_of = watches
        self._shared = shared
        self._rng = rng
        self._reboot = reboot
        self._watches: Watches | None = None
        self._listens = False
        self._node: Node | None = None
        """What it has last heard of its Node, once it listens."""
        self._recorder = EventRecorder(
            equipment.client, "kubelet", config.name, equipment.clock, rng
        )
        self._lease: LeaseKeeper | None = None
        self._reporter: StatusReporter | None = None
        self._beats: Sequence[Beat] = ()
        """Of the Lease and of the status, once it is registered."""
        self._mirrors: MirrorPods | None = None
        self.kubelet: Kubelet | None = None

    async def run(self) -> None:
        """Live until cancelled; all tasks of the node end with it."""
        async with asyncio.TaskGroup() as tasks:
            await self._start(tasks, self._watches_of(tasks))
            self.started.set()

    def stop(self) -> None:
        """Nothing happens any more by itself, and nothing is heard: `run` is about to be cancelled.
        Node, Lease and pods stay in the API as they are."""
        if self._watches is not None:
            self._watches.detach(self._config.name)
        for beat in self._beats:
            beat.stop()
        if self.kubelet is not None:
            self.kubelet.close()
        self.started.set()

    def equip(self, equipment: Equipment) -> None:
        """From now on work with these."""
        self._equipment = equipment
        client, clock = equipment.client, equipment.clock
        self._recorder.client, self._recorder.clock = client, clock
        for heart in (self._lease, self._reporter):
            if heart is not None:
                heart.client, heart.clock, heart.hindrance = client, clock, equipment.hindrance
        if self._mirrors is not None:
            self._mirrors.client = client
        if self.kubelet is not None:
            self.kubelet.equip(equipment)

    # --- what the watches say ---

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """See `agents.watches.Listener`."""
        if self.kubelet is not None:
            self.kubelet.observe(old, new)
        if self._mirrors is not None:
            self._mirrors.pod_changed(old, new)

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        """See `agents.watches.Listener`."""
        before, self._node = self._node, node
        if self._listens and before is not node:
            self.node_changed(before, node)
        self._listens = True
        if self.kubelet is not None:
            self.kubelet.relisted(pods)
        if self._mirrors is not None:
            self._mirrors.look_again()

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """See `agents.watches.Listener`."""
        self._node = new
        if new is None:
            _log.warning("node_deleted", node=self._config.name, note="not registered again")
            return
        if old is None:
            return
        if old.spec.unschedulable != new.spec.unschedulable:
            reason = "NodeNotSchedulable" if new.spec.unschedulable else "NodeSchedulable"
            message = f"Node {self._config.name} status is now: {reason}"
            self._node_event("Normal", reason, message)
        if old.metadata.annotations != new.metadata.annotations and self.kubelet is not None:
            self._beats[-1].now()
            self.kubelet.node_changed()

    # --- the start ---

    async def _start(self, tasks: asyncio.TaskGroup, watches: Watches) -> None:
        """Register and start the node's tasks; returns when its status is reported."""
        shared, config, clock = self._shared, self._config, self._shared.clock
        self._watches = watches
        tasks.create_task(self._recorder.run(), name=f"events-{config.name}")
        self._node_event("Normal", "Starting", "Starting kubelet.")
        registered, tree = await shared.registrar.register(
            self._equipment.client, config, reboot=self._reboot, status_of=self._initial_status
        )
        if registered.created:
            self._pressure_events()
        if registered.rebooted:
            boot_id = registered.identity.boot_id
            message = f"Node {config.name} has been rebooted, boot id: {boot_id}"
            self._node_event("Warning", "Rebooted", message)
        _log.info("node_registered", node=config.name, created=registered.created)
        self._lease = lease = self._new_lease(registered)
        self.kubelet = kubelet = self._new_kubelet(registered, tasks)
        self._reporter = reporter = self._new_reporter(registered, tree, kubelet)
        self.equip(self._equipment)
        self._beats = self._beat("lease", lease, tasks), self._beat("status", reporter, tasks)
        await clock.wait_for(watches.nodes.synced.wait(), SYNC_TIMEOUT_S)
        await clock.wait_for(watches.pods.synced.wait(), SYNC_TIMEOUT_S)
        watches.attach(config.name, self)
        kubelet.node_changed()
        await clock.wait_for(reporter.reported.wait(), SYNC_TIMEOUT_S)
        if config.pod_manifest_path:
            self._keep_static_pods(registered, watches, tasks)

    def _beat(self, name: str, heart: Heart, tasks: asyncio.TaskGroup) -> Beat:
        """Let it beat from now on."""
        shared = self._shared
        beat = Beat(
            f"{name}-{self._config.name}",
            heart,
            timers=shared.timers,
            tasks=tasks,
            clock=shared.clock,
            tick_s=shared.tick_s,
        )
        beat.now()
        return beat

    def _new_lease(self, registered: Registered) -> LeaseKeeper:
        return LeaseKeeper(
            self._equipment.client,
            self._config.name,
            self._equipment.clock,
            self._rng,
            node_uid=lambda: self._node_uid(registered),
            every_s=self._interval_s,
            new_node=registered.created,
        )

    def _new_reporter(
        self, registered: Registered, tree: JsonObject, kubelet: Kubelet
    ) -> StatusReporter:
        return StatusReporter(
            self._equipment.client,
            self._config,
            registered.identity,
            self._equipment.clock,
            self._rng,
            observed=self._observed,
            images=lambda: kubelet.runtime.images,
            events=self._node_event,
            existing=tree,
        )

    def _new_kubelet(self, registered: Registered, tasks: asyncio.TaskGroup) -> Kubelet:
        shared, client = self._shared, self._equipment.client
        node = LocalNode(self._config, registered, self._observed)
        statuses = StatusManager(
            client,
            node.name,
            timers=shared.timers,
            tasks=tasks,
            writes=shared.writes,
            clock=shared.clock,
            rng=self._rng,
        )
        return Kubelet(
            node,
            statuses,
            Mounts(client, tasks, shared.clock),
            recorder=self._recorder,
            timers=shared.timers,
            clock=self._equipment.clock,
            pod_log=shared.pod_log,
        )

    def _keep_static_pods(
        self, registered: Registered, watches: Watches, tasks: asyncio.TaskGroup
    ) -> None:
        from kubeherd.agents.kubelet import staticpods  # noqa: PLC0415 - few nodes have any

        name, clock = self._config.name, self._equipment.clock
        directory, now = Path(self._config.pod_manifest_path), format_time(clock.now())
        self._mirrors = mirrors = staticpods.MirrorPods(
            self._equipment.client,
            staticpods.read_manifests(directory, name, now),
            node_uid=lambda: self._node_uid(registered),
            seen=watches.pods.cache.get,
            clock=self._shared.clock,
            rng=self._rng,
        )
        tasks.create_task(mirrors.run(), name=f"static-pods-{name}")

    # --- small things ---

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
        now = format_time(self._equipment.clock.now())
        wanted = nodestatus.conditions(self._config.annotations, NOT_YET_READY)
        trees, _, _ = nodestatus.condition_trees(wanted, {}, now)
        return {**nodestatus.status_content(self._config, identity, ()), "conditions": trees}

    def _observed(self) -> Node | None:
        """The Node as it has last heard of it; before it listens, as the watch knows it."""
        if self._listens or self._watches is None:
            return self._node
        return self._watches.nodes.cache.get("", self._config.name)

    def _node_uid(self, registered: Registered) -> str:
        if self._watches is None or not self._watches.nodes.synced.is_set():
            return registered.uid
        seen = self._observed()
        return seen.metadata.uid if seen is not None else ""

    def _interval_s(self) -> float:
        seen = self._observed()
        return heartbeat.interval_s(
            seen.metadata.annotations if seen is not None else self._config.annotations
        )

    def _node_event(self, type_: str, reason: str, message: str) -> None:
        reference = ObjectReference(api_version="v1", kind="Node", name=self._config.name)
        self._recorder.event(reference, type_, reason, message)
