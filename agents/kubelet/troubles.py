"""What a kubelet does to its running pods when its node is in trouble: evict them, shut down.

Both are asked for by annotations on the Node (docs/fake-pods.md). Invariants: at most one pod is
evicted per interval and none while the last one still ends; critical pods are never evicted, and
on shutdown they end after all others; without annotations there is no timer.
"""

from collections.abc import Callable, Sequence

import structlog

from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.node import nodestatus
from kubeherd.agents.node.localnode import LocalNode
from kubeherd.agents.pods import endings
from kubeherd.agents.pods.admission import is_critical
from kubeherd.agents.pods.endings import EVICTION_INTERVAL_S, Signal
from kubeherd.agents.pods.facts import Ending
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.runtime.clock import Clock

_SHUTDOWN_POLL_S = 1.0

_log = structlog.get_logger(__name__)


class Troubles:
    """The eviction and shutdown managers of one node."""

    def __init__(
        self,
        node: LocalNode,
        *,
        pods: Callable[[], Sequence[Pod]],
        ending: Callable[[], bool],
        end: Callable[[Pod, Ending], None],
        timers: Timers,
        clock: Clock,
    ) -> None:
        """`pods`: those that are not yet ending; `ending`: whether any is; `end`: end one."""
        self._node = node
        self._disk = endings.disk(node.config.ephemeral_storage)
        self._pods = pods
        self._ending = ending
        self._end = end
        self._timers = timers
        self._clock = clock
        self._pressure_key = f"{node.name}/pressure"
        self._shutdown_key = f"{node.name}/shutdown"
        self._evict_from_s = 0.0
        self._critical_from_s: float | None = None

    def look(self) -> None:
        """Act on the Node's annotations; called when they may have changed and by own timers."""
        self._shut_down()
        self._relieve()

    def stop_timers(self) -> None:
        """Look no more by itself until `look` is called."""
        self._timers.cancel(self._pressure_key)
        self._timers.cancel(self._shutdown_key)

    @property
    def shutting_down(self) -> bool:
        """Whether the machine is about to stop, so that it takes no more pods."""
        return nodestatus.shutdown_grace_s(self._node.annotations) is not None

    def _signal(self) -> Signal | None:
        annotations = self._node.annotations
        if nodestatus.evicts(annotations, nodestatus.MEMORY_PRESSURE):
            return endings.MEMORY
        return self._disk if nodestatus.evicts(annotations, nodestatus.DISK_PRESSURE) else None

    def _relieve(self) -> None:
        signal = self._signal()
        if signal is None:
            self._timers.cancel(self._pressure_key)
            return
        now_s = self._clock.monotonic_s()
        if now_s >= self._evict_from_s:
            self._evict_from_s = now_s + EVICTION_INTERVAL_S
            victim = None if self._ending() else endings.eviction_victim(self._pods(), signal)
            if victim is not None:
                _log.info("pod_evicted", pod=victim.metadata.name, resource=signal.resource)
                self._end(victim, endings.evicted(signal))
        self._timers.at(self._pressure_key, self._evict_from_s, self._relieve)

    def _shut_down(self) -> None:
        grace_s = nodestatus.shutdown_grace_s(self._node.annotations)
        if grace_s is None:
            self._critical_from_s = None
            self._timers.cancel(self._shutdown_key)
            return
        now_s = self._clock.monotonic_s()
        if self._critical_from_s is None:
            _log.info("node_shutting_down", node=self._node.name, grace_s=grace_s)
            self._critical_from_s = now_s + grace_s
        pods = self._pods()
        for pod in pods:
            if not is_critical(pod):
                self._end(pod, endings.shut_down(grace_s))
        if now_s >= self._critical_from_s or not self._ending():
            for pod in pods:
                if is_critical(pod):
                    self._end(pod, endings.shut_down(grace_s))
        if pods:
            self._timers.at(self._shutdown_key, now_s + _SHUTDOWN_POLL_S, self._shut_down)
