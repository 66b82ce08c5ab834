"""The taint eviction controller's shell: watches, timers, events and deletions (spec 7).

Invariant: a pod is looked at again whenever it, or the NoExecute taints of its node, change; what
could not be deleted is tried again.
"""

import asyncio

import structlog

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.events import ObjectReference
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.manager import Context
from kubeherd.controller.tainteviction.plan import Change, Evictions, Key, no_execute
from kubeherd.controller.workload.pods import podindex

COMPONENT = "taint-eviction-controller"
TRIES = 5
RETRY_S = 0.01
FAILED_RETRY_S = 1.0
PARALLEL_DELETES = 16
REASON = "TaintManagerEviction"

_log = structlog.get_logger(__name__)


class TaintEvictionController:
    """Deletes the pods that do not tolerate the NoExecute taints of their nodes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._nodes = context.informers.get(NODES, Node)
        self._pods = context.informers.get(PODS, Pod)
        self._recorder = context.recorder(COMPONENT)
        self._evictions = Evictions()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(PARALLEL_DELETES)
        podindex.add_node_index(self._pods.cache)
        self._nodes.on_change(self._node_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Evict until cancelled; timers start anew with every run, as with every restart."""
        self._evictions = Evictions()
        self._slots = asyncio.Semaphore(PARALLEL_DELETES)
        for node in self._nodes.cache.values():
            self._look_at_pods_of(node)
        async with asyncio.TaskGroup() as tasks:
            while True:
                for key, uid in self._evictions.due(self._clock.monotonic_s()):
                    await self._slots.acquire()
                    tasks.create_task(self._evict(key, uid))
                await self._until_due()

    async def _until_due(self) -> None:
        due_s = self._evictions.next_s()
        self._changed.clear()
        if due_s is None:
            await self._changed.wait()
            return
        try:
            pause_s = max(0.0, due_s - self._clock.monotonic_s())
            await self._clock.wait_for(self._changed.wait(), pause_s)
        except TimeoutError:
            return

    # --- what the watches say ---

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            return  # its pods are collected, or adopted by a node of the same name
        if old is None or old.spec.taints != new.spec.taints:
            before = [] if old is None else no_execute(old.spec.taints)
            if before != no_execute(new.spec.taints):
                self._look_at_pods_of(new)

    def _look_at_pods_of(self, node: Node) -> None:
        for pod in podindex.on_node(self._pods.cache, node.metadata.name):
            self._look_at(pod, node)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            key = old.metadata.namespace, old.metadata.name
            if self._evictions.forget(key) is Change.CANCELLED:
                self._say_cancelled(old)
        if new is None or not new.spec.node_name:
            return
        if (
            old is None
            or old.spec.node_name != new.spec.node_name
            or old.spec.tolerations != new.spec.tolerations
            or old.metadata.uid != new.metadata.uid
        ):
            node = self._nodes.cache.get("", new.spec.node_name)
            if node is not None and node.spec.taints:
                self._look_at(new, node)

    def _look_at(self, pod: Pod, node: Node) -> None:
        taints = no_execute(node.spec.taints)
        change = self._evictions.look_at(pod, taints, self._clock.monotonic_s())
        if change in (Change.CANCELLED, Change.AT_ONCE_CANCELLED):
            self._say_cancelled(pod)
        if change is not Change.NONE:
            self._changed.set()

    def _say_cancelled(self, pod: Pod) -> None:
        key = pod.metadata.namespace, pod.metadata.name
        self._event(key, pod.metadata.uid, "Cancelling deletion of Pod {}/{}".format(*key))

    def _event(self, key: Key, uid: str, message: str) -> None:
        namespace, name = key
        reference = ObjectReference(
            api_version="v1", kind="Pod", namespace=namespace, name=name, uid=uid
        )
        self._recorder.event(reference, "Normal", REASON, message)

    # --- deleting ---

    async def _evict(self, key: Key, uid: str) -> None:
        try:
            self._event(key, uid, "Marking for deletion Pod {}/{}".format(*key))
            for attempt in range(1, TRIES + 1):
                try:
                    await self._delete(key, uid)
                    return
                except (ApiError, TransportError, TimeoutError) as error:
                    _log.info("eviction_failed", pod="/".join(key), error=str(error), tries=attempt)
                await self._clock.sleep(RETRY_S)
            await self._clock.sleep(FAILED_RETRY_S)
            self._again(key, uid)
        finally:
            self._slots.release()

    def _again(self, key: Key, uid: str) -> None:
        self._evictions.failed(key, uid)
        pod = self._pods.cache.get(*key)
        node = None if pod is None else self._nodes.cache.get("", pod.spec.node_name)
        if pod is not None and node is not None:
            self._look_at(pod, node)

    async def _delete(self, key: Key, uid: str) -> None:
        namespace, name = key
        try:
            pod = await self._client.get(PODS, Pod, name, namespace)
            if pod.metadata.uid != uid:
                return
            condition = pod.status.condition("DisruptionTarget")
            if condition is None or condition.reason != "DeletionByTaintManager":
                wanted = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "observedGeneration": pod.metadata.generation,
                    "lastProbeTime": None,
                    "lastTransitionTime": format_time(self._clock.now()),
                    "reason": "DeletionByTaintManager",
                    "message": "Taint manager: deleting due to NoExecute taint",
                }
                patch = {"metadata": {"uid": uid}, "status": {"conditions": [wanted]}}
                await self._client.patch(PODS, name, patch, namespace, subresource="status")
            await self._client.delete(PODS, name, namespace)
        except NotFound:
            return
