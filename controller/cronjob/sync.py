"""One look at one CronJob, and what follows from it (spec cronjob-controller).

Invariants: the status is written once, also when a step failed; a Job whose create got no answer is
found again by its name, which the time of the schedule gives.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound, namespace_is_terminating
from kubeherd.cluster.api.kinds import CRONJOBS, JOBS
from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.cronjob import plan
from kubeherd.controller.cronjob.model import CronJob, CronJobStatus, JobReference
from kubeherd.controller.cronjob.schedule import requeue_s
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Event, EventType, Record
from kubeherd.controller.workload.jobs import Job
from kubeherd.controller.workload.storestatus import status_body
from kubeherd.controller.workload.writer import ObjectWriter


class Sync:
    """One look at one CronJob: what was done so far is in the status that it ends with."""

    def __init__(self, cronjob: CronJob, writer: ObjectWriter, record: Record) -> None:
        self._base = cronjob
        self._cronjob = cronjob
        self._writer = writer
        self._record = record

    def _set(self, status: CronJobStatus) -> None:
        self._cronjob = replace(self._cronjob, status=status)

    async def run(self, jobs: list[Job], now: datetime) -> float | None:
        """Do it; seconds until the next look. ReconcileError, ApiError, TransportError."""
        failure: Exception | None = None
        again_s: float | None = None
        for job in plan.surplus(self._cronjob, jobs):
            await self._delete(job.metadata.name, job.metadata.uid)
        try:
            again_s = await self._schedule(jobs, now)
        except (ReconcileError, ApiError, TransportError) as error:
            failure = error
        await self._store_status()
        if failure is not None:
            raise failure
        return again_s

    async def _schedule(self, jobs: list[Job], now: datetime) -> float | None:
        if plan.forgotten(self._cronjob, jobs):
            await self._look_at_status()
        gone = [one for one in plan.missing(self._cronjob, jobs) if await self._is_gone(one)]
        observed = plan.observe(self._cronjob, jobs, gone)
        self._set(observed.status)
        decision = plan.decide(self._cronjob, now)
        for event in (*observed.events, *decision.events):
            self._record(event)
        if decision.start is None:
            return decision.again_s
        for reference in decision.replaced:
            await self._replace(reference)
        made = await self._start(decision.start)
        if made is None:
            return None
        self._set(plan.started(self._cronjob.status, made, decision.start))
        return requeue_s(self._cronjob, now, plan.parsed(self._cronjob))

    async def _look_at_status(self) -> None:
        """The cache may be older than the status that the Job was put into."""
        meta = self._cronjob.metadata
        live = await self._writer.client.get(CRONJOBS, CronJob, meta.name, meta.namespace)
        if live.metadata.uid == meta.uid and live.status != self._base.status:
            self._base = self._cronjob = live

    async def _is_gone(self, reference: JobReference) -> bool:
        """Whether the server, too, does not have the Job."""
        try:
            await self._live(reference.name)
        except NotFound:
            return True
        return False

    async def _live(self, name: str) -> Job:
        return await self._writer.client.get(JOBS, Job, name, self._writer.namespace)

    async def _replace(self, reference: JobReference) -> None:
        try:
            job = await self._live(reference.name)
        except (ApiError, TransportError) as error:
            self._record(Event(EventType.WARNING, "FailedGet", f"Get job: {error}"))
            raise
        if not await self._delete(job.metadata.name, job.metadata.uid):
            raise ReconcileError(
                f"could not replace job {self._writer.namespace}/{job.metadata.name}"
            )

    async def _delete(self, name: str, uid: str) -> bool:
        try:
            await self._writer.client.delete(
                JOBS, name, self._writer.namespace, propagation="Background"
            )
        except NotFound:
            self._set(plan.without(self._cronjob.status, uid))
            return True
        except (ApiError, TransportError) as error:
            self._record(Event(EventType.WARNING, "FailedDelete", f"Deleted job: {error}"))
            return False
        self._set(plan.without(self._cronjob.status, uid))
        self._record(Event(EventType.NORMAL, "SuccessfulDelete", f"Deleted job {name}"))
        return True

    async def _start(self, time: datetime) -> JobReference | None:
        """Make the Job; None if there is one of this name that the status need not name."""
        try:
            made = await self._writer.create(JOBS, plan.job_tree(self._cronjob, time))
        except AlreadyExists:
            return await self._found(plan.job_name(self._cronjob, time))
        except (ApiError, TransportError) as error:
            if namespace_is_terminating(error):
                return None
            text = f"Error creating job: {error}"
            self._record(Event(EventType.WARNING, "FailedCreate", text))
            raise
        text = f"Created job {made.metadata.name}"
        self._record(Event(EventType.NORMAL, "SuccessfulCreate", text))
        return _reference(made.metadata)

    async def _found(self, name: str) -> JobReference | None:
        """The Job that is there already, if a sync made it that could not write the status."""
        job = await self._live(name)
        owner = job.metadata.controller()
        if owner is None or owner.uid != self._cronjob.metadata.uid:
            return None
        if self._cronjob.status.is_active(job.metadata.uid):
            return None
        return _reference(job.metadata)

    async def _store_status(self) -> None:
        if self._cronjob.status == self._base.status:
            return
        status = msgspec.to_builtins(self._cronjob.status)
        tree = status_body(Owner(CRONJOBS, self._cronjob.metadata), status)
        await self._writer.update(CRONJOBS, tree, subresource="status")


def _reference(meta: ObjectMeta) -> JobReference:
    return JobReference(
        api_version=JOBS.api_version,
        kind=JOBS.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
