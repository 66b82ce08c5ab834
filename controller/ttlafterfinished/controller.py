"""Waits for the ends of Jobs and deletes them when their time is over, with their pods.

Invariant: a Job is deleted only after a live look at it has said so too, and only that Job, not one
that has its name by now.
"""

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.ttlafterfinished.plan import NoTimeOfEnd, needs_cleanup, time_left_s
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.jobs import Job
from kubeherd.controller.workload.wakeups import Key, key_of

NAME = "ttl-after-finished-controller"
WORKERS = 5


class TTLAfterFinishedController:
    """Deletes Jobs ``ttlSecondsAfterFinished`` after their end."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._jobs = context.informers.get(JOBS, Job)
        self._queue: WorkQueue[Key] = context.queue("ttl_jobs_to_delete", context.rng.child(NAME))
        self._jobs.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for job in self._jobs.cache.values():
            self._changed(None, job)
        await run_workers(self._queue, self.sync, controller=NAME, workers=WORKERS)

    def _changed(self, _old: Job | None, new: Job | None) -> None:
        if new is not None and needs_cleanup(new):
            self._queue.add(key_of(new))

    async def sync(self, key: Key) -> float | None:
        """Delete a Job if its time is over; else seconds until it is, None if it never will be."""
        namespace, name = key
        cached = self._jobs.cache.get(namespace, name)
        left_s = None if cached is None else self._left_s(cached)
        if left_s is None or left_s > 0:
            return left_s
        try:
            job = await self._client.get(JOBS, Job, name, namespace)
            left_s = self._left_s(job)
            if left_s is None or left_s > 0:
                return left_s
            await self._client.delete(
                JOBS, name, namespace, uid=job.metadata.uid, propagation="Foreground"
            )
        except NotFound:
            pass
        return None

    def _left_s(self, job: Job) -> float | None:
        try:
            return time_left_s(job, self._clock.age_s)
        except NoTimeOfEnd as error:
            raise ReconcileError(str(error)) from error
