"""The shell around the pod machine: pods of one node in, wanted statuses, events and logs out.

Source: spec node-lifecycle 10, 12 and 13. Each pod has a `PodWorker`; `observe` runs the machine
at once, in memory, and the `StatusManager` writes what differs from the API.
"""

from collections.abc import Callable, Sequence
from functools import partial

import structlog
from msgspec.structs import replace

from kubeherd.agents.equipment import Equipment
from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.faking.runtime import FakeRuntime
from kubeherd.agents.kubelet.mounts import Mounts, are_doubtful
from kubeherd.agents.kubelet.podworker import (
    PodWorker,
    Progress,
    asks_anew,
    ends,
    heeds_status,
    revision_of,
    shown_status,
)
from kubeherd.agents.kubelet.statusmanager import StatusManager
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.kubelet.troubles import Troubles
from kubeherd.agents.node.localnode import LocalNode
from kubeherd.agents.node.nodestatus import conditions
from kubeherd.agents.pods import endings, machine
from kubeherd.agents.pods.admission import admit, is_critical, shortages
from kubeherd.agents.pods.facts import Ending, Moment, Rejection
from kubeherd.agents.pods.recovery import recover
from kubeherd.agents.pods.sync import NodeView, PodEvent
from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.events import EventRecorder, ObjectReference
from kubeherd.cluster.runtime.clock import Clock

_log = structlog.get_logger(__name__)


class Kubelet:
    """The pods of one node."""

    def __init__(
        self,
        node: LocalNode,
        statuses: StatusManager,
        mounts: Mounts,
        *,
        recorder: EventRecorder,
        timers: Timers,
        clock: Clock,
        pod_log: PodLog | None = None,
    ) -> None:
        identity = node.registered.identity
        self.runtime = FakeRuntime(identity.pod_cidr, identity.ip)
        self._node = node
        self._statuses = statuses
        self._mounts = mounts
        self._recorder = recorder
        self._timers = timers
        self._clock = clock
        self._pod_log = pod_log
        self._view = NodeView(
            name=node.name,
            host_ips=(identity.ip,),
            pulled_images=self.runtime.pulled_images,
            volumes=self.runtime.volumes,
        )
        self._frozen = False
        self._workers: dict[str, PodWorker] = {}
        self._troubles = Troubles(
            node,
            pods=lambda: [w.pod for w in self._workers.values() if not ends(w)],
            ending=lambda: any(ends(w) and not w.facts.final for w in self._workers.values()),
            end=lambda pod, ending: self._end(self._workers[pod.metadata.uid], ending),
            timers=timers,
            clock=clock,
        )

    # --- what the watch says ---

    @property
    def running_pods(self) -> int:
        """The pods that have not ended."""
        return sum(not worker.facts.final for worker in self._workers.values())

    def observe(self, old: Pod | None, new: Pod | None) -> None:
        """A change of a pod bound to this node; `new` None: the object is gone."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._remove(old)
        if new is None:
            return
        worker = self._workers.get(new.metadata.uid)
        if worker is None:
            self._add(new)
        else:
            self._update(worker, new)

    def relisted(self, pods: Sequence[Pod]) -> None:
        """These are all pods of the node: what else it knows is gone."""
        there = {pod.metadata.uid for pod in pods}
        gone = [worker.pod for uid, worker in self._workers.items() if uid not in there]
        for pod in gone:
            self._remove(pod)
        for pod in pods:
            self.observe(None, pod)

    def node_changed(self) -> None:
        """The Node changed, or its pods are complete: look whether it is in trouble."""
        self._troubles.look()

    # --- what is done to the node ---

    def equip(self, equipment: Equipment) -> None:
        """From now on work with these; pods that they concern are looked at again."""
        self._clock = equipment.clock
        self._mounts.client = equipment.client
        self._statuses.client = equipment.client
        again = equipment.hurt_pods is not self._view.hurt or self._frozen
        self._frozen = equipment.frozen
        self._view = replace(self._view, hurt=equipment.hurt_pods)
        if self._frozen:
            self._stop_timers()
        elif again:
            self._troubles.look()
            for worker in list(self._workers.values()):
                self._advance(worker)

    def close(self) -> None:
        """The agent is gone: nothing is done for its pods any more."""
        for worker in self._workers.values():
            worker.removed = True
        self._stop_timers()

    def _stop_timers(self) -> None:
        for uid, worker in self._workers.items():
            self._timers.cancel(uid)
            self._statuses.forget(worker)
        self._troubles.stop_timers()

    def _add(self, pod: Pod) -> None:
        now = self._now()
        facts = recover(pod, now, self._clock.age_s, rebooted=self._node.registered.rebooted)
        worker = PodWorker(pod, facts)
        self._workers[pod.metadata.uid] = worker
        if podutil.is_active(pod) and not self._admitted(worker, now):
            self._advance(worker)
            return
        if not worker.facts.final:
            worker.facts = self.runtime.with_address(pod, worker.facts)
            self.runtime.add_used(pod)
            if are_doubtful(pod):
                worker.facts = replace(worker.facts, unmounted=True)
                self._mounts.wait(pod, self._tell, lambda: self._mounted(worker))
        if (
            self._node.registered.rebooted
            and pod.status.container_statuses
            and not worker.facts.final
        ):
            self._tell(
                pod,
                PodEvent(
                    "Normal",
                    "SandboxChanged",
                    "Pod sandbox changed, it will be killed and re-created.",
                ),
            )
        self._advance(worker)

    def _mounted(self, worker: PodWorker) -> None:
        """The claims of a pod that had to wait for them are bound."""
        worker.facts = replace(worker.facts, unmounted=False)
        self._advance(worker)

    def _admitted(self, worker: PodWorker, now: Moment) -> bool:
        pod = worker.pod
        node = self._node.current()
        pressures = [
            c.type for c in conditions(node.metadata.annotations) if c.status and c.type != "Ready"
        ]
        others = [
            other.pod
            for other in self._workers.values()
            if other is not worker and not other.facts.final
        ]
        admits = partial(
            admit, pod, node, pressures=pressures, shutting_down=self._troubles.shutting_down
        )
        rejection = admits(others)
        if rejection is not None and rejection.reason.startswith("OutOf") and is_critical(pod):
            rejection = self._make_room(pod, node, others, admits)
        if rejection is None:
            return True
        worker.facts = machine.reject(worker.facts, rejection.reason, rejection.message, now)
        self._tell(pod, PodEvent("Warning", rejection.reason, rejection.message))
        _log.info("pod_rejected", pod=pod.metadata.name, reason=rejection.reason)
        return False

    def _make_room(
        self,
        pod: Pod,
        node: Node,
        others: Sequence[Pod],
        admits: Callable[[Sequence[Pod]], Rejection | None],
    ) -> Rejection | None:
        """End other pods for a critical one (spec 11); None if it can be admitted then."""
        short = shortages(pod.spec, node, others)
        victims = endings.preemption_victims(pod, others, short)
        if victims is None:
            return Rejection("UnexpectedAdmissionError", endings.no_victims(short))
        staying = [other for other in others if other not in victims]
        rejection = admits(staying)
        if rejection is None:
            for victim in victims:
                self._end(self._workers[victim.metadata.uid], endings.PREEMPTED)
        return rejection

    def _end(self, worker: PodWorker, ending: Ending) -> None:
        """End a running pod of this kubelet's own accord."""
        worker.facts = machine.end(worker.facts, worker.pod, ending)
        if ending.event:
            self._tell(worker.pod, PodEvent("Warning", ending.reason, ending.message))
        self._advance(worker)

    def _update(self, worker: PodWorker, pod: Pod) -> None:
        before = worker.pod
        worker.pod = pod
        anew = asks_anew(before, pod)
        revision = revision_of(pod)
        if revision > worker.revision:
            worker.revision = revision
            if worker.progress is Progress.RESTS:
                worker.known = shown_status(worker)
            else:
                worker.unread = True
        elif not anew:
            if revision == worker.revision:
                self._statuses.read_back(worker)
            return
        if anew or heeds_status(before, pod):
            self._advance(worker, own_change=anew)
        else:
            self._statuses.reconcile(worker)

    def _remove(self, pod: Pod) -> None:
        worker = self._workers.get(pod.metadata.uid)
        if worker is None:
            return
        worker.removed = True
        if worker.facts.final:
            self._forget(worker)
        else:
            self._advance(worker)

    # --- the machine ---

    def _advance(self, worker: PodWorker, *, own_change: bool = True) -> None:
        """Run the machine and see to what it asks for."""
        before = worker.wanted
        pod = worker.pod
        result = machine.step(pod, worker.facts, self._view, self._now(), removed=worker.removed)
        worker.facts = result.facts
        worker.wanted = result.status
        worker.delete = result.delete
        if result.pulled:
            self.runtime.add_pulled(result.pulled)
        if result.written:
            self.runtime.volumes.keep(result.written)
        for event in result.events:
            self._tell(pod, event)
        if self._pod_log is not None and result.logs:
            self._pod_log.write(pod.metadata.uid, result.logs)
        key = pod.metadata.uid
        if result.next_wake_s is None:
            self._timers.cancel(key)
        else:
            self._timers.at(key, result.next_wake_s, lambda: self._advance(worker))
        if worker.removed:
            if result.facts.final:
                self._forget(worker)
            return
        if own_change or before != result.status:
            self._statuses.flush(worker)
        else:
            self._statuses.reconcile(worker)

    def _forget(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        self._timers.cancel(uid)
        self._statuses.forget(worker)
        self._mounts.forget(uid)
        self.runtime.release(worker.pod, worker.facts)
        if self._pod_log is not None:
            self._pod_log.remove(uid)
        self._workers.pop(uid, None)

    # --- small things ---

    def _tell(self, pod: Pod, event: PodEvent) -> None:
        metadata = pod.metadata
        reference = ObjectReference(
            api_version="v1",
            kind="Pod",
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            field_path=event.field_path,
        )
        self._recorder.event(reference, event.type, event.reason, event.message)

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic_s(), format_time(self._clock.now()))
