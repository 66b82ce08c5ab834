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

from kubeherd.agents.kubelet.podworker import PodWorker, api_status, revision_of
from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.pods.statuspatch import patched, status_patch
from kubeherd.cluster.api.errors import ApiError, Conflict, Invalid, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RECONCILE_S: Final = 10.0
"""The full pass of Kubernetes' manager: how late a status changed by others is put right."""
RETRY_BASE_S: Final = 0.2
RETRY_CAP_S: Final = 10.0

_log = structlog.get_logger(__name__)


class StatusManager:
    """Writes pod statuses for one node. `tasks` owns the writes, `writes` bounds those of all."""

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        *,
        timers: Timers,
        tasks: asyncio.TaskGroup,
        writes: asyncio.Semaphore,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._timers = timers
        self._tasks = tasks
        self._writes = writes
        self._clock = clock
        self._rng = rng
        self._failing = False

    def equip(self, client: ApiClient, writes: asyncio.Semaphore) -> None:
        """From now on write with this client; what is under way ends with the one before."""
        self._client = client
        self._writes = writes

    def flush(self, worker: PodWorker) -> None:
        """Have a task write what differs, unless one does already. It finds out whether anything
        does that is the kubelet's to write."""
        if worker.task is not None or worker.removed:
            return
        due = worker.delete and not worker.deleted
        if not due and worker.known == worker.wanted:
            return
        name = f"pod-{worker.pod.metadata.name}"
        worker.task = self._tasks.create_task(self._write_all(worker), name=name)

    def reconcile(self, worker: PodWorker) -> None:
        """Somebody else may have changed the status: put it right at the next full pass."""
        if worker.task is None and status_patch(worker.known, worker.wanted) is not None:
            self._reconcile_later(worker)

    def read_back(self, worker: PodWorker) -> None:
        """The API's status after an own write: others may have changed it just before."""
        if worker.task is not None:
            worker.unread = True
            return
        if worker.removed or revision_of(worker.pod) < worker.revision:
            return  # the watch is still to show what was written
        worker.unread = False
        worker.known = api_status(worker.pod)
        self.reconcile(worker)

    def forget(self, uid: str) -> None:
        """The pod is gone: nothing is to be put right any more."""
        self._timers.cancel(_key(uid))

    def _reconcile_later(self, worker: PodWorker) -> None:
        due_s = self._clock.monotonic_s() + self._rng.uniform(0.0, RECONCILE_S)
        self._timers.at(_key(worker.pod.metadata.uid), due_s, lambda: self.flush(worker))

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
                        _log.warning("pod_writes_failing", node=self._node_name, error=str(error))
                    await self._clock.sleep(backoff.next_s())
                    continue
                if self._failing:
                    self._failing = False
                    _log.info("pod_writes_recovered", node=self._node_name)
                backoff.reset()
                if not more:
                    return
        finally:
            worker.task = None
            if worker.unread:
                self.read_back(worker)

    async def _write_once(self, worker: PodWorker) -> bool:
        """One request; False if there was nothing to write."""
        metadata = worker.pod.metadata
        wanted = worker.wanted
        patch = status_patch(worker.known, wanted)
        if patch is not None:
            try:
                await self._patch(worker, patch)
            except Invalid:
                if not await self._read(worker):
                    raise
            else:
                worker.known = patched(worker.known, wanted)
            return True
        if worker.delete and not worker.deleted:
            await self._client.delete(
                PODS, metadata.name, metadata.namespace, grace_period_s=0, uid=metadata.uid
            )
            worker.deleted = True
        return False

    async def _patch(self, worker: PodWorker, patch: JsonObject) -> None:
        metadata = worker.pod.metadata
        answer = await self._client.send(
            "PATCH",
            PODS.path(metadata.namespace, metadata.name, "status"),
            body=orjson.dumps({"metadata": {"uid": metadata.uid}, "status": patch}),
            content_type=PatchKind.STRATEGIC.value,
        )
        stored = self._client.decode(answer, PartialObject)
        worker.revision = max(worker.revision, int(stored.metadata.resource_version or 0))

    async def _read(self, worker: PodWorker) -> bool:
        """Read the status that the API has; whether it is another one than was known."""
        metadata = worker.pod.metadata
        pod = await self._client.get(PODS, Pod, metadata.name, metadata.namespace)
        if pod.metadata.uid != metadata.uid:
            raise Conflict(f'pod "{metadata.name}" is another one by now')
        before, worker.known = worker.known, api_status(pod)
        worker.revision = max(worker.revision, revision_of(pod))
        return worker.known != before


def _key(uid: str) -> str:
    """The timer of a pod's next full pass."""
    return f"{uid}/status"


def _name(worker: PodWorker) -> str:
    return f"{worker.pod.metadata.namespace}/{worker.pod.metadata.name}"
