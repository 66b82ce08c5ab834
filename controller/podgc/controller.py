"""The pod garbage collector's shell: a pass every 20 s over the caches (spec node-lifecycle, 8).

Invariant: each pod is force-deleted only after its status says Failed, so nobody who watches sees
a pod vanish while running.
"""

import asyncio
from collections.abc import Iterable

import structlog

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.manager import Context
from kubeherd.controller.podgc import plan

PARALLEL_DELETES = 16

_log = structlog.get_logger(__name__)


class PodGarbageCollector:
    """Force-deletes pods that nobody else can finish."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pods = context.informers.get(PODS, Pod)
        self._nodes = context.informers.get(NODES, Node)
        self._quarantine = plan.Quarantine()

    async def run(self) -> None:
        """A pass every 20 s until cancelled."""
        self._quarantine = plan.Quarantine()
        while True:
            await self._pass()
            await self._clock.sleep(plan.PERIOD_S)

    async def _pass(self) -> None:
        pods = list(self._pods.cache.values())
        nodes = {node.metadata.name: node for node in self._nodes.cache.values()}
        await self._collect(plan.terminated(pods), mark=False)
        await self._collect(plan.out_of_service(pods, nodes))
        await self._collect_orphans(pods, nodes)
        await self._collect(plan.unscheduled_terminating(pods))

    async def _collect_orphans(self, pods: list[Pod], nodes: dict[str, Node]) -> None:
        suspects = self._quarantine.suspects(pods, nodes, self._clock.monotonic_s())
        gone = {name for name in suspects if await self._is_gone(name)}
        if gone:
            orphans = [pod for pod in pods if pod.spec.node_name in gone]
            await self._collect(orphans, orphaned=True)

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client.get(NODES, Node, node)
        except NotFound:
            return True
        except (ApiError, TransportError, TimeoutError) as error:
            _log.info("node_not_looked_up", node=node, error=str(error))
        return False

    async def _collect(
        self, pods: Iterable[Pod], *, mark: bool = True, orphaned: bool = False
    ) -> None:
        slots = asyncio.Semaphore(PARALLEL_DELETES)

        async def one(pod: Pod) -> None:
            async with slots:
                try:
                    await self._force_delete(pod, mark=mark, orphaned=orphaned)
                except (ApiError, TransportError, TimeoutError) as error:
                    _log.info("pod_not_collected", pod=pod.metadata.name, error=str(error))

        async with asyncio.TaskGroup() as tasks:
            for pod in pods:
                tasks.create_task(one(pod))

    async def _force_delete(self, pod: Pod, *, mark: bool, orphaned: bool) -> None:
        meta = pod.metadata
        try:
            if mark and not pod.terminal:
                status: JsonObject = {"phase": "Failed"}
                if orphaned:
                    status["conditions"] = [self._condition(pod)]
                patch = {"metadata": {"uid": meta.uid}, "status": status}
                await self._client.patch(
                    PODS, meta.name, patch, meta.namespace, subresource="status"
                )
            await self._client.delete(PODS, meta.name, meta.namespace, grace_period_s=0)
            _log.info("pod_collected", pod=f"{meta.namespace}/{meta.name}", orphaned=orphaned)
        except NotFound:
            return

    def _condition(self, pod: Pod) -> JsonObject:
        return {
            "type": "DisruptionTarget",
            "status": "True",
            "observedGeneration": pod.metadata.generation,
            "lastProbeTime": None,
            "lastTransitionTime": format_time(self._clock.now()),
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
        }
