"""The writes of the scheduler: bindings, conditions, nominations, evictions (spec 4 to 6).

Invariant: a pod's status is written only where something differs, with the pod's uid, so that a
pod of the same name that came later is never touched.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.sending import Write
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller.scheduler.preemption import PREEMPTED
from kubeherd.controller.scheduler.relevance import SCHEDULER

COMPONENT = SCHEDULER
PREEMPTED_MESSAGE = f"{COMPONENT}: preempting to accommodate a higher priority pod"


def condition_tree(old: Condition | None, wanted: Condition, now: str) -> JsonObject | None:
    """The condition to write, None if the old one says the same; time moves with the status."""
    same_status = old is not None and old.status == wanted.status
    if (
        old is not None
        and same_status
        and (old.reason, old.message, old.observed_generation)
        == (wanted.reason, wanted.message, wanted.observed_generation)
    ):
        return None
    since = old.last_transition_time if old is not None and same_status else now
    tree: JsonObject = {
        "type": wanted.type,
        "status": wanted.status,
        "lastProbeTime": None,
        "lastTransitionTime": since,
        "reason": wanted.reason,
        "message": wanted.message,
    }
    if wanted.observed_generation:
        tree["observedGeneration"] = wanted.observed_generation
    return tree


class SchedulerWriter:
    """Writes pods through the API."""

    def __init__(self, client: ApiClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def bind_all(
        self, bindings: Sequence[tuple[Pod, str]]
    ) -> list[ApiError | TransportError | None]:
        """POST the Bindings of pods to nodes; what went wrong with each."""
        outcomes = await self._client.send_all([self._binding(*one) for one in bindings])
        return [None if isinstance(one, TransportResponse) else one for one in outcomes]

    def _binding(self, pod: Pod, node: str) -> Write:
        meta = pod.metadata
        tree: JsonObject = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = PODS.path(meta.namespace, meta.name, "binding")
        return Write("POST", path, *self._client.encode(tree))

    async def set_unschedulable(
        self, pod: Pod, reason: str, message: str, nominated: str | None
    ) -> None:
        """Write PodScheduled False and, unless None, the nominated node (empty clears it)."""
        condition = self._condition(pod, "PodScheduled", "False", reason, message)
        status: JsonObject = {}
        if condition is not None:
            status["conditions"] = [condition]
        if nominated is not None and nominated != pod.status.nominated_node_name:
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(pod, status)

    async def clear_nomination(self, pod: Pod) -> None:
        """Take the nominated node off a waiting pod that lost it to a more important one."""
        if pod.status.nominated_node_name:
            await self._patch_status(pod, {"nominatedNodeName": None})

    async def evict(self, victim: Pod) -> None:
        """Mark a victim and delete it with its own grace period; gone already is fine."""
        condition = self._condition(
            victim, "DisruptionTarget", "True", PREEMPTED, PREEMPTED_MESSAGE
        )
        meta = victim.metadata
        try:
            if condition is not None:
                await self._patch_status(victim, {"conditions": [condition]})
            if meta.deletion_timestamp is None:
                await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return

    def _condition(
        self, pod: Pod, type_: str, status: str, reason: str, message: str
    ) -> JsonObject | None:
        wanted = Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            observed_generation=pod.metadata.generation,
        )
        return condition_tree(pod.status.condition(type_), wanted, format_time(self._clock.now()))

    async def _patch_status(self, pod: Pod, status: JsonObject) -> None:
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid}, "status": status}
        await self._client.patch(PODS, meta.name, patch, meta.namespace, subresource="status")
