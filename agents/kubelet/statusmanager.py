"""The status manager: brings the statuses of a node's pods in the API to what the kubelet wants.

Source: spec node-lifecycle 13. Invariants: at most one write per pod is under way; the grace-0
delete follows only after the final status is in the API; after the object is gone nothing is
written for it; the pod's uid in the patch is the precondition. A kubelet reads the pod before each
write; here only one that was refused, because what it was computed from may be out of date.
"""

import asyncio
from typing import Final

import orjson
import structlog

from kubeherd.agents.kubelet.podworker import (
    PodWorker,
    Progress,
    api_status,
    revision_of,
    shown_status,
)
from kubeherd.agents.kubelet.podwrites import PodWrites
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.pods.statuspatch import patched, status_patch
from kubeherd.cluster.api.errors import ApiError, Conflict, Invalid, NotFound
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.sending import Outcome, Write
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RECONCILE_S: Final = 10.0
"""The full pass of Kubernetes' manager: how late a status changed by others is put right."""
RETRY_BASE_S: Final = 0.2
RETRY_CAP_S: Final = 10.0

_log = structlog.get_logger(__name__)


class StatusManager:
    """Writes pod statuses for one node. `tasks` owns what is read again."""

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        *,
        timers: Timers,
        tasks: asyncio.TaskGroup,
        writes: PodWrites,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self.client = client
        """What is sent from now on is sent with it; what is under way ends with the one before."""
        self._node_name = node_name
        self._timers = timers
        self._tasks = tasks
        self._writes = writes
        self._clock = clock
        self._rng = rng
        self._failing = False

    def flush(self, worker: PodWorker) -> None:
        """Write what differs, unless a write is under way, after which it is looked at again."""
        if worker.progress is not Progress.RESTS or worker.removed:
            return
        due = worker.delete and not worker.deleted
        if due or worker.known != worker.wanted:
            self._put(worker)

    def reconcile(self, worker: PodWorker) -> None:
        """Somebody else may have changed the status: put it right at the next full pass."""
        if (
            worker.progress is Progress.RESTS
            and status_patch(worker.known, worker.wanted) is not None
        ):
            self._reconcile_later(worker)

    def read_back(self, worker: PodWorker) -> None:
        """The API's status after an own write: others may have changed it just before."""
        if worker.progress is not Progress.RESTS:
            worker.unread = True
            return
        if worker.removed or revision_of(worker.pod) < worker.revision:
            return  # the watch is still to show what was written
        worker.unread = False
        worker.known = shown_status(worker)
        self.reconcile(worker)

    def forget(self, worker: PodWorker) -> None:
        """The pod is gone, or nothing happens by itself any more: nothing is to be put right."""
        self._timers.cancel(_key(worker))
        if worker.progress is Progress.RETRIES:
            worker.progress = Progress.RESTS
            worker.backoff = None

    # --- see `agents.kubelet.podwrites.Writer` ---

    def next_write(self, worker: PodWorker) -> Write | None:
        """The patch that the status needs, or the delete that follows the last one."""
        if worker.removed:
            return None
        metadata = worker.pod.metadata
        patch = status_patch(worker.known, worker.wanted)
        if patch is not None:
            worker.sent = worker.wanted
            return Write(
                "PATCH",
                PODS.path(metadata.namespace, metadata.name, "status"),
                orjson.dumps({"metadata": {"uid": metadata.uid}, "status": patch}),
                PatchKind.STRATEGIC.value,
            )
        worker.sent = None
        if worker.delete and not worker.deleted:
            return self.client.deletion(
                PODS, metadata.name, metadata.namespace, grace_period_s=0, uid=metadata.uid
            )
        self._rest(worker)
        return None

    def written(self, worker: PodWorker, outcome: Outcome) -> None:
        """Go on with the pod after a write."""
        if worker.removed:
            return
        try:
            if isinstance(outcome, TransportResponse):
                self._take(worker, outcome)
            elif isinstance(outcome, Invalid) and worker.sent is not None:
                name = f"pod-{worker.pod.metadata.name}"
                self._tasks.create_task(self._look_again(worker, outcome), name=name)
            else:
                raise outcome
        except (ApiError, TransportError) as error:
            self._failed(worker, error)

    def _take(self, worker: PodWorker, answer: TransportResponse) -> None:
        if worker.sent is None:
            worker.deleted = True
        else:
            stored = self.client.decode(answer, PartialObject)
            worker.revision = max(worker.revision, int(stored.metadata.resource_version or 0))
            worker.known = patched(worker.known, worker.sent)
        worker.backoff = None
        if self._failing:
            self._failing = False
            _log.info("pod_writes_recovered", node=self._node_name)
        self._rest(worker)
        if not worker.deleted:
            self.flush(worker)

    def _failed(self, worker: PodWorker, error: ApiError | TransportError) -> None:
        if isinstance(error, (NotFound, Conflict)):
            # Another object by now, or none: the watch will tell. If not, look again.
            self._reconcile_later(worker)
            self._rest(worker)
            return
        if isinstance(error, Invalid):
            _log.error("status_refused", pod=_name(worker), error=error.message)
            self._rest(worker)
            return
        if not self._failing and not self.client.unreachable:
            self._failing = True
            _log.warning("pod_writes_failing", node=self._node_name, error=str(error))
        worker.backoff = worker.backoff or Backoff(
            self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S
        )
        worker.progress = Progress.RETRIES
        due_s = self._clock.monotonic_s() + worker.backoff.next_s()
        self._timers.at(_key(worker), due_s, lambda: self._put(worker))

    async def _look_again(self, worker: PodWorker, refused: Invalid) -> None:
        """Read the status that the API has, and write again if it is another one than was known."""
        metadata = worker.pod.metadata
        try:
            pod = await self.client.get(PODS, Pod, metadata.name, metadata.namespace)
            if pod.metadata.uid != metadata.uid:
                raise Conflict(f'pod "{metadata.name}" is another one by now')
            before, worker.known = worker.known, api_status(pod)
            worker.revision = max(worker.revision, revision_of(pod))
            if worker.known == before:
                raise refused
        except (ApiError, TransportError) as error:
            self._failed(worker, error)
        else:
            self._put(worker)

    # --- from write to write ---

    def _put(self, worker: PodWorker) -> None:
        worker.progress = Progress.WRITES
        self._writes.put(self, worker)

    def _rest(self, worker: PodWorker) -> None:
        worker.progress = Progress.RESTS
        if worker.unread:
            self.read_back(worker)

    def _reconcile_later(self, worker: PodWorker) -> None:
        due_s = self._clock.monotonic_s() + self._rng.uniform(0.0, RECONCILE_S)
        self._timers.at(_key(worker), due_s, lambda: self.flush(worker))


def _key(worker: PodWorker) -> str:
    """The timer of a pod's next full pass, or next try."""
    return f"{worker.pod.metadata.uid}/status"


def _name(worker: PodWorker) -> str:
    return f"{worker.pod.metadata.namespace}/{worker.pod.metadata.name}"
