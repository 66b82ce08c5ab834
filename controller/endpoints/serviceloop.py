"""What the two controllers share that make endpoints of the pods of Services.

A change of a Service is looked at at once, changes of its pods together after a moment, which grows
with their number: a thousand pods that become ready one by one are not a thousand writes of all of
them. (Upstream has a period for this, 0 by default, and 20 writes a second of its client.)
"""

import msgspec

from kubeherd.cluster.api.kinds import PODS, SERVICES
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.cache import Key, key_of
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller.endpoints.matching import Matching
from kubeherd.controller.endpoints.objects import Service
from kubeherd.controller.endpoints.triggertime import TriggerTimes
from kubeherd.controller.manager import Context
from kubeherd.controller.workload.written import Written

BATCH_S = 0.1
BATCH_PER_POD_S = 0.001


class Memory(msgspec.Struct):
    """What one controller keeps of one Service."""

    written: Written
    times: TriggerTimes
    pods: int = 0
    """How many it selected when it was last looked at."""


class ServiceLoop:
    """Services and their pods, and the queue of Services to look at."""

    def __init__(self, context: Context, queue: WorkQueue[Key]) -> None:
        self.services = context.informers.get(SERVICES, Service)
        pods = context.informers.get(PODS, Pod)
        self.matching = Matching(self.services.cache, pods.cache)
        self._queue = queue
        self._clock: Clock = context.clock
        self._memories: dict[Key, Memory] = {}
        self.services.on_change(self._service_changed)
        pods.on_change(self._pod_changed)

    def memory(self, key: Key) -> Memory:
        """What is kept of a Service, from now on."""
        known = self._memories.get(key)
        if known is None:
            known = self._memories[key] = Memory(Written(self._clock), TriggerTimes())
        return known

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._memories.pop(key, None)

    def add_all(self) -> None:
        """Look at all Services that there are."""
        for service in self.services.cache.values():
            self._queue.add(key_of(service))

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        changed = new or old
        if changed is not None:
            self._queue.add(key_of(changed))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        for key in self.matching.concerned(old, new):
            known = self._memories.get(key)
            pods = known.pods if known is not None else 0
            self._queue.add_after(key, BATCH_S + BATCH_PER_POD_S * pods)
