"""The autoscaler's loop: every 15 s of the cluster's time each autoscaler is looked at.

Source: Kubernetes v1.36, pkg/controller/podautoscaler/horizontal.go. Invariant: what is remembered
of an autoscaler (recommendations, rates, selector) goes with it.
"""

from kubeherd.cluster.api.kinds import HORIZONTALPODAUTOSCALERS, PODS
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.podautoscaler.limits import Memory
from kubeherd.controller.podautoscaler.model import Autoscaler
from kubeherd.controller.podautoscaler.sync import Failed, Surroundings, Sync
from kubeherd.controller.worker import Troubles, run_workers
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.scaling import Scales
from kubeherd.controller.workload.wakeups import Key, key_of

PERIOD_S = 15.0
WORKERS = 5
COMPONENT = "horizontal-pod-autoscaler"


class HorizontalPodAutoscalerController:
    """Sets the replicas of whatever has a scale."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pods = context.informers.get(PODS, Pod)
        self._autoscalers = context.informers.get(HORIZONTALPODAUTOSCALERS, Autoscaler)
        self._recorder = context.recorder(COMPONENT)
        self._queue: WorkQueue[Key] = context.queue("horizontalpodautoscaler")
        self._scales = Scales(context.client)
        self._troubles = Troubles("horizontal-pod-autoscaler")
        self._memories: dict[Key, Memory] = {}
        self._selectors: dict[Key, Selector] = {}
        podindex.add_namespace_index(self._pods.cache)
        self._autoscalers.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for autoscaler in list(self._autoscalers.cache.values()):
            self._changed(None, autoscaler)
        await run_workers(
            self._queue, self._reconcile, controller="horizontal-pod-autoscaler", workers=WORKERS
        )

    def _changed(self, old: Autoscaler | None, new: Autoscaler | None) -> None:
        if new is not None:
            key = key_of(new)
            self._selectors.setdefault(key, NOTHING)
            self._queue.add_after(key, PERIOD_S)
        elif old is not None:
            key = key_of(old)
            self._selectors.pop(key, None)
            self._memories.pop(key, None)
            self._troubles.worked(key)

    async def _reconcile(self, key: Key) -> float | None:
        autoscaler = self._autoscalers.cache.get(*key)
        if autoscaler is None:
            return None
        record = recorder_on(self._recorder, Owner(HORIZONTALPODAUTOSCALERS, autoscaler.metadata))
        memory = self._memories.setdefault(key, Memory())
        surroundings = Surroundings(
            self._client, self._clock, self._scales, self._pods.cache, self._selectors
        )
        try:
            await Sync(autoscaler, memory, record, surroundings).run()
        except Failed as error:
            self._troubles.failed(key, error)
        else:
            self._troubles.worked(key)
        return PERIOD_S
