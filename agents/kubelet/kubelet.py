"""The shell around the pod machine: pods of one node in, status patches, events and deletes out.

Source: spec node-lifecycle 10, 12 and 13. Each pod has a `PodWorker`; `observe` runs the machine
at once, in memory, and a short-lived task writes what differs from the API. Invariants: at most
one write per pod is under way; the grace-0 delete follows only after the final status is in the
API; after the object is gone nothing is written for it; no write needs a read before it, the
pod's uid in the patch is the precondition.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import orjson
import structlog

from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.faking.runtime import FakeRuntime
from kubeherd.agents.kubelet.podworker import PodWorker, api_status, asks_anew, ends, revision_of
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.kubelet.troubles import Troubles
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity, conditions
from kubeherd.agents.pods import endings, machine
from kubeherd.agents.pods.admission import admit, is_critical, shortages
from kubeherd.agents.pods.facts import Ending, Moment, Rejection
from kubeherd.agents.pods.recovery import recover
from kubeherd.agents.pods.statuspatch import patched, status_patch
from kubeherd.agents.pods.sync import NodeView, PodEvent
from kubeherd.cluster.api.errors import ApiError, Conflict, Invalid, NotFound
from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import Node, PartialObject, Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.events import EventRecorder, ObjectReference
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RECONCILE_S: Final = 10.0
"""The status manager's full pass: how late a status changed by others is put right."""
RETRY_BASE_S: Final = 0.2
RETRY_CAP_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Kubelet:
    """The pods of one node. `tasks` owns its writes."""

    def __init__(
        self,
        *,
        client: ApiClient,
        config: NodeConfig,
        identity: NodeIdentity,
        rebooted: bool,
        observed_node: Callable[[], Node | None],
        initial_node: Node,
        recorder: EventRecorder,
        timers: Timers,
        tasks: asyncio.TaskGroup,
        writes: asyncio.Semaphore,
        clock: Clock,
        rng: Rng,
        pod_log: PodLog | None = None,
    ) -> None:
        self.runtime = FakeRuntime(identity.pod_cidr, identity.ip)
        self._client = client
        self._config = config
        self._rebooted = rebooted
        self._observed_node = observed_node
        self._initial_node = initial_node
        self._recorder = recorder
        self._timers = timers
        self._tasks = tasks
        self._writes = writes
        self._clock = clock
        self._rng = rng
        self._pod_log = pod_log
        self._view = NodeView(
            name=config.name, host_ips=(identity.ip,), pulled_images=self.runtime.pulled_images
        )
        self._workers: dict[str, PodWorker] = {}
        self._failing = False
        self._troubles = Troubles(
            config.name,
            config.ephemeral_storage,
            annotations=self._node_annotations,
            pods=lambda: [w.pod for w in self._workers.values() if not ends(w)],
            ending=lambda: any(ends(w) and not w.facts.final for w in self._workers.values()),
            end=lambda pod, ending: self._end(self._workers[pod.metadata.uid], ending),
            timers=timers,
            clock=clock,
        )

    # --- what the watch says ---

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

    def node_changed(self) -> None:
        """The Node changed, or its pods are complete: look whether it is in trouble."""
        self._troubles.look()

    def _node_annotations(self) -> Mapping[str, str]:
        return (self._observed_node() or self._initial_node).metadata.annotations

    def _add(self, pod: Pod) -> None:
        now = self._now()
        facts = recover(pod, now, self._clock.age_s, rebooted=self._rebooted)
        worker = PodWorker(pod, facts)
        self._workers[pod.metadata.uid] = worker
        if podutil.is_active(pod) and not self._admitted(worker, now):
            self._advance(worker)
            return
        if not worker.facts.final:
            worker.facts = self.runtime.with_address(pod, worker.facts)
            self.runtime.add_used(pod)
        if self._rebooted and pod.status.container_statuses and not worker.facts.final:
            self._tell(
                pod,
                PodEvent(
                    "Normal",
                    "SandboxChanged",
                    "Pod sandbox changed, it will be killed and re-created.",
                ),
            )
        self._advance(worker)

    def _admitted(self, worker: PodWorker, now: Moment) -> bool:
        pod = worker.pod
        node = self._observed_node() or self._initial_node
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
        revision = revision_of(pod)
        if revision > worker.revision:
            worker.revision = revision
            if worker.task is None:
                worker.known = api_status(pod)
            else:
                worker.unread = True
        elif not asks_anew(before, pod):
            if revision == worker.revision:
                self._read_back(worker)
            return
        self._advance(worker, own_change=asks_anew(before, pod))

    def _remove(self, pod: Pod) -> None:
        worker = self._workers.get(pod.metadata.uid)
        if worker is None:
            return
        worker.removed = True
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
            self._flush(worker)
        elif worker.task is None and status_patch(worker.known, worker.wanted) is not None:
            self._reconcile_later(worker)

    def _read_back(self, worker: PodWorker) -> None:
        """The API's status after an own write: others may have changed it just before."""
        if worker.task is not None:
            worker.unread = True
            return
        if worker.removed or revision_of(worker.pod) < worker.revision:
            return  # the watch is still to show what was written
        worker.unread = False
        worker.known = api_status(worker.pod)
        if status_patch(worker.known, worker.wanted) is not None:
            self._reconcile_later(worker)

    def _reconcile_later(self, worker: PodWorker) -> None:
        """Somebody else changed the status: put it right at the next full pass."""
        due_s = self._clock.monotonic_s() + self._rng.uniform(0.0, RECONCILE_S)
        self._timers.at(f"{worker.pod.metadata.uid}/status", due_s, lambda: self._flush(worker))

    def _forget(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        self._timers.cancel(uid)
        self._timers.cancel(f"{uid}/status")
        self.runtime.release(worker.pod, worker.facts)
        if self._pod_log is not None:
            self._pod_log.remove(uid)
        self._workers.pop(uid, None)

    # --- writes ---

    def _flush(self, worker: PodWorker) -> None:
        """Have a task write what differs, unless one does already."""
        if worker.task is not None or worker.removed:
            return
        due = worker.delete and not worker.deleted
        if not due and status_patch(worker.known, worker.wanted) is None:
            return
        name = f"pod-{worker.pod.metadata.name}"
        worker.task = self._tasks.create_task(self._write_all(worker), name=name)

    async def _write_all(self, worker: PodWorker) -> None:
        backoff = Backoff(self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
        try:
            while not worker.removed:
                try:
                    async with self._writes:
                        more = await self._write_once(worker)
                except (NotFound, Conflict):
                    # Another object by now, or none: the watch will tell. If not, look again.
                    self._reconcile_later(worker)
                    return
                except Invalid as error:
                    _log.error("status_refused", pod=_name(worker), error=error.message)
                    return
                except (ApiError, TransportError) as error:
                    if not self._failing and not self._client.unreachable:
                        self._failing = True
                        _log.warning("pod_writes_failing", node=self._config.name, error=str(error))
                    await self._clock.sleep(backoff.next_s())
                    continue
                if self._failing:
                    self._failing = False
                    _log.info("pod_writes_recovered", node=self._config.name)
                backoff.reset()
                if not more:
                    return
        finally:
            worker.task = None
            if worker.unread:
                self._read_back(worker)

    async def _write_once(self, worker: PodWorker) -> bool:
        """One request; False if there was nothing to write."""
        metadata = worker.pod.metadata
        wanted = worker.wanted
        patch = status_patch(worker.known, wanted)
        if patch is not None:
            body = {"metadata": {"uid": metadata.uid}, "status": patch}
            answer = await self._client.send(
                "PATCH",
                PODS.path(metadata.namespace, metadata.name, "status"),
                body=orjson.dumps(body),
                content_type=PatchKind.STRATEGIC.value,
            )
            stored = self._client.decode(answer, PartialObject)
            worker.revision = max(worker.revision, int(stored.metadata.resource_version or 0))
            worker.known = patched(worker.known, wanted)
            return True
        if worker.delete and not worker.deleted:
            await self._client.delete(
                PODS, metadata.name, metadata.namespace, grace_period_s=0, uid=metadata.uid
            )
            worker.deleted = True
        return False

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


def _name(worker: PodWorker) -> str:
    return f"{worker.pod.metadata.namespace}/{worker.pod.metadata.name}"
