"""The writes of node lifecycle, each with the retries that the spec gives it (spec 3, 4 and 6).

Invariant: every write starts from an object read with its resourceVersion, so a kubelet's newer
status or another client's taints are never overwritten.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.events import EventRecorder
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.nodes import health, taints
from kubeherd.controller.references import node_reference, pod_reference

STATUS_TRIES = 5
STATUS_RETRY_S = 0.02
TAINT_TRIES = 5
TAINT_RETRY_S = 0.1
TAINT_RETRY_JITTER = 1.0


class NodeWriter:
    """Writes nodes and the Ready condition of their pods."""

    def __init__(self, client: ApiClient, recorder: EventRecorder, clock: Clock, rng: Rng) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._rng = rng

    async def silence(self, name: str, heartbeat: str | None) -> tuple[str | None, str | None]:
        """Set the conditions of a silent node to Unknown; returns Ready before and afterwards.

        A node whose ``heartbeat`` (lastHeartbeatTime of Ready) has moved on is not silent any more.

        Reads the node first and writes only if its Ready condition changes. The last Conflict
        after `STATUS_TRIES` tries, and every other error, is raised.
        """
        attempt = 1
        while True:
            tree = await self._client.request("GET", NODES.path(name=name))
            status = tree.setdefault("status", {})
            old = status.get("conditions") or []
            new, changed = health.silence(
                old,
                tree["metadata"].get("creationTimestamp", ""),
                format_time(self._clock.now()),
            )
            before, after = _ready_field(old, "status"), _ready_field(new, "status")
            if not changed or _ready_field(old, "lastHeartbeatTime") != heartbeat:
                return before, before
            status["conditions"] = new
            try:
                await self._client.update(NODES, tree, subresource="status")
                return before, after
            except Conflict:
                if attempt == STATUS_TRIES:
                    raise
                attempt += 1
                await self._clock.sleep(STATUS_RETRY_S)

    async def change_taints(self, node: Node, change: taints.TaintChange) -> None:
        """Add, then remove taints; starts from ``node`` and reads anew after a Conflict.

        A node that is gone is left alone; the last Conflict is raised.
        """
        if change.add:
            node = await self._change_taints_once(node, change.add, remove=False)
        if change.remove:
            await self._change_taints_once(node, change.remove, remove=True)

    async def _change_taints_once(
        self, node: Node, keys: Sequence[taints.Key], *, remove: bool
    ) -> Node:
        delay_s = TAINT_RETRY_S
        for attempt in range(TAINT_TRIES):
            wanted = (
                taints.with_removed(node, keys)
                if remove
                else taints.with_added(node, keys, format_time(self._clock.now()))
            )
            if wanted is None:
                return node
            patch = taints.taints_patch(node, wanted)
            try:
                written = await self._client.patch(NODES, node.metadata.name, patch)
            except NotFound:
                return node
            except Conflict:
                if attempt == TAINT_TRIES - 1:
                    raise
                await self._clock.sleep(self._rng.jittered(delay_s, TAINT_RETRY_JITTER))
                delay_s *= 2
                node = await self._client.get(NODES, Node, node.metadata.name)
                continue
            return _node(written)
        return node

    async def set_labels(self, name: str, labels: dict[str, str]) -> None:
        """Set labels on a node; a node that is gone is left alone."""
        try:
            await self._client.patch(NODES, name, {"metadata": {"labels": labels}})
        except NotFound:
            return

    async def mark_pod_not_ready(self, pod: Pod) -> None:
        """Set a pod's Ready condition to False and say so in an event (spec 6)."""
        meta = pod.metadata
        try:
            tree = await self._client.request("GET", PODS.path(meta.namespace, meta.name))
            status = self._not_ready(pod, tree)
            if status is None:
                return
            await self._client.update(PODS, tree | {"status": status}, subresource="status")
        except NotFound:
            return
        self._recorder.event(pod_reference(pod), "Warning", "NodeNotReady", "Node is not ready")

    def _not_ready(self, pod: Pod, tree: JsonObject) -> JsonObject | None:
        if tree["metadata"].get("uid") != pod.metadata.uid:
            return None
        return health.pod_marked_not_ready(tree.get("status") or {}, format_time(self._clock.now()))

    def node_event(self, node: Node, reason: str, message: str) -> None:
        """A Normal event on a node."""
        self._recorder.event(node_reference(node), "Normal", reason, message)


def _ready_field(conditions: Sequence[JsonObject], name: str) -> str | None:
    return next((c.get(name, "") for c in conditions if c.get("type") == "Ready"), None)


def _node(tree: JsonObject) -> Node:
    return msgspec.convert(tree, Node)
