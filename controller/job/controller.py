"""The shell of the Job controller: wakes up, reads caches, has syncs carried out.

Decisions are in `assess`, `manage`, `tracking` and `wakeups`. Invariants: one sync of a Job at a
time (the queue sees to that), and none before the caches show what the last one wrote, however long
that takes: a pod that was counted already would be counted again.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.kinds import JOBS, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.job.memory import Memory
from kubeherd.controller.job.model import FINALIZER, RETRY_CAP_S, RETRY_S
from kubeherd.controller.job.sync import UNTRACK, Sync
from kubeherd.controller.job.template import owner
from kubeherd.controller.job.wakeups import Wake, is_orphan, job_changed, pod_changed
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.claim import claim
from kubeherd.controller.workload.claiming import carry_out
from kubeherd.controller.workload.jobs import Job, finished
from kubeherd.controller.workload.memories import Memories
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.pods.podcontrol import PodControl
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.wakeups import Key, key_of
from kubeherd.controller.workload.writer import ObjectWriter

NAME = "job-controller"
WORKERS = 5
SEEN_TIMEOUT_S = 30.0
"""How long a sync waits for the caches to show its own writes before it lets others work."""


class JobController:
    """Runs every Job's pods to their end, and counts them."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._rng = context.rng.child(NAME)
        self._jobs = context.informers.get(JOBS, Job)
        self._pods = context.informers.get(PODS, Pod)
        self._recorder = context.recorder(NAME)
        self._queue: WorkQueue[Key] = context.queue(
            "job", self._rng, base_delay_s=RETRY_S, max_delay_s=RETRY_CAP_S
        )
        self._orphans: WorkQueue[Key] = context.queue(
            "job_orphan_pod", self._rng, base_delay_s=RETRY_S, max_delay_s=RETRY_CAP_S
        )
        self._memories = Memories(lambda: Memory(self._clock, self._rng))
        podindex.add_index(self._pods.cache)
        podindex.add_namespace_index(self._jobs.cache)
        self._jobs.on_change(self._job_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for job in self._jobs.cache.values():
            self._queue.add(key_of(job))
        for pod in self._pods.cache.values():
            if is_orphan(pod, self):
                self._orphans.add(key_of(pod))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_workers(self._queue, self.sync, controller=NAME, workers=WORKERS))
            tasks.create_task(
                run_workers(self._orphans, self._sync_orphan, controller=NAME, workers=WORKERS)
            )

    # --- lookups that wakeups need ---

    def get(self, namespace: str, name: str) -> Job | None:
        """The cached Job, or None."""
        return self._jobs.cache.get(namespace, name)

    def in_namespace(self, namespace: str) -> Iterable[Job]:
        """The cached Jobs of a namespace."""
        return podindex.in_namespace(self._jobs.cache, namespace)

    def _matches(self, job: Job, pod: Pod) -> bool:
        """Whether a Job would adopt a pod; one that selects everything adopts none."""
        selector = job.spec.selector
        if selector is None or not (selector.match_labels or selector.match_expressions):
            return False
        try:
            return self._memories.of(job).template(job).selector.matches(pod.metadata.labels)
        except ApiError:
            return False

    # --- events ---

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        job = new or old
        if job is not None and (new is None or finished(new) is not None):
            self._memories.forget(key_of(job))
            for pod in podindex.owned(self._pods.cache, job.metadata.uid):
                if FINALIZER in pod.metadata.finalizers:
                    self._orphans.add(key_of(pod))
        self._wake(job_changed(old, new))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        wakes = pod_changed(old, new, self, self._matches)
        if wakes.orphan and new is not None:
            self._orphans.add(key_of(new))
        self._wake(wakes.jobs)

    def _wake(self, wakes: Iterable[Wake]) -> None:
        for key, after_s in wakes:
            self._queue.add_after(key, after_s)

    # --- syncs ---

    async def sync(self, key: Key) -> float | None:
        """Look at one Job and do what has to be done; seconds until the next look.

        ReconcileError, ApiError or TransportError if it could not be done; it will be again.
        """
        known = self._memories.get(key)
        if known is not None and not await known.written.settled(SEEN_TIMEOUT_S):
            raise ReconcileError("own writes are not seen yet")
        job = self._jobs.cache.get(*key)
        if job is None or job.managed_elsewhere or finished(job) is not None:
            self._memories.forget(key)
            return None
        memory = self._memories.of(job)
        writer = ObjectWriter(
            self._client, key[0], memory.written, {JOBS: self._jobs, PODS: self._pods}
        )
        pods = await self._claim(job, memory, writer)
        record = recorder_on(self._recorder, owner(job))
        control = PodControl(writer, owner(job), record, memory.names)
        return await Sync(memory, writer, control, record, self._clock).run(job, pods)

    async def _claim(self, job: Job, memory: Memory, writer: ObjectWriter) -> list[Pod]:
        """The Job's pods; whom it adopts gets the finalizer, whom it releases loses it."""
        candidates = podindex.candidates(self._pods.cache, job.metadata)
        memory.names.observed(job.metadata.namespace, self._pods.cache.get)
        claimed = claim(owner(job), memory.template(job).selector, candidates)
        await carry_out(
            writer, owner(job), PODS, claimed.adopt, claimed.release, finalizers=[FINALIZER]
        )
        adopted = {pod.metadata.uid for pod in claimed.adopt}
        if not adopted:
            return claimed.claimed
        return [
            _with_finalizer(pod) if pod.metadata.uid in adopted else pod for pod in claimed.claimed
        ]

    async def _sync_orphan(self, key: Key) -> None:
        """Take the finalizer from a pod that nobody will count any more."""
        pod = self._pods.cache.get(*key)
        if pod is None or not is_orphan(pod, self):
            return
        namespace, name = key
        with suppress(NotFound):
            await self._client.patch(PODS, name, UNTRACK, namespace, kind=PatchKind.STRATEGIC)


def _with_finalizer(pod: Pod) -> Pod:
    finalizers = pod.metadata.finalizers
    if FINALIZER in finalizers:
        return pod
    metadata = msgspec.structs.replace(pod.metadata, finalizers=[*finalizers, FINALIZER])
    return msgspec.structs.replace(pod, metadata=metadata)
