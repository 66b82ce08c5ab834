"""The CronJob controller: what makes a CronJob be looked at, and by which clock.

Source: Kubernetes v1.36, pkg/controller/cronjob. Invariant: a sync begins when the caches show what
the one before wrote.
"""

from datetime import datetime, timedelta
from typing import Any

from kubeherd.cluster.api import cron
from kubeherd.cluster.api.kinds import CRONJOBS, JOBS, Resource
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.cronjob import plan
from kubeherd.controller.cronjob.model import CronJob
from kubeherd.controller.cronjob.schedule import requeue_s
from kubeherd.controller.cronjob.sync import Sync
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Event, EventType, Record
from kubeherd.controller.workload.jobs import Job
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.wakeups import Key, key_of
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written

WORKERS = 5
COMPONENT = "cronjob-controller"
_BY_CONTROLLER = "cronjob"


class CronJobController:
    """Makes Jobs on time, and forgets old ones."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._cronjobs = context.informers.get(CRONJOBS, CronJob)
        self._jobs = context.informers.get(JOBS, Job)
        self._jobs.cache.add_index(_BY_CONTROLLER, _controller_of)
        self._recorder = context.recorder(COMPONENT)
        self._queue: WorkQueue[Key] = context.queue("cronjob")
        self._written: dict[Key, Written] = {}
        self._cronjobs.on_change(self._cronjob_changed)
        self._jobs.on_change(self._job_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for key in self._cronjobs.cache.keys():  # noqa: SIM118 - the keys, not the objects
            self._queue.add(key)
        await run_workers(self._queue, self._reconcile, controller="cronjob", workers=WORKERS)

    # --- what makes a CronJob be looked at ---

    def _cronjob_changed(self, old: CronJob | None, new: CronJob | None) -> None:
        if new is None:
            return
        key = key_of(new)
        if old is None or (old.spec.schedule, old.spec.time_zone) == (
            new.spec.schedule,
            new.spec.time_zone,
        ):
            self._queue.add(key)
            return
        try:  # a new schedule starts nothing for times that passed before it was there
            schedule = plan.parsed(new)
        except cron.InvalidSchedule:
            text = f"unparseable schedule for cronjob: {new.spec.schedule}"
            event = Event(EventType.WARNING, "UnParseableCronJobSchedule", text)
            self._record_on(new)(event)
            return
        self._queue.add_after(key, requeue_s(new, self._now(new), schedule))

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        for job in (old, new):
            owner = job.metadata.controller() if job is not None else None
            if job is None or owner is None or owner.kind != CRONJOBS.kind:
                continue
            key = (job.metadata.namespace, owner.name)
            cronjob = self._cronjobs.cache.get(*key)
            if cronjob is not None and cronjob.metadata.uid == owner.uid:
                self._queue.add(key)

    # --- one sync ---

    async def _reconcile(self, key: Key) -> float | None:
        cronjob = self._cronjobs.cache.get(*key)
        if cronjob is None:
            self._written.pop(key, None)
            return None
        written = self._written.setdefault(key, Written(self._clock))
        await written.wait_seen()
        cronjob = self._cronjobs.cache.get(*key)
        if cronjob is None:
            return None
        reflectors: dict[Resource, Reflector[Any]] = {JOBS: self._jobs, CRONJOBS: self._cronjobs}
        writer = ObjectWriter(self._client, key[0], written, reflectors)
        sync = Sync(cronjob, writer, self._record_on(cronjob))
        return await sync.run(self._jobs_of(cronjob), self._now(cronjob))

    def _jobs_of(self, cronjob: CronJob) -> list[Job]:
        name = f"{cronjob.metadata.namespace}/{cronjob.metadata.name}"
        return self._jobs.cache.by_index(_BY_CONTROLLER, name)

    def _record_on(self, cronjob: CronJob) -> Record:
        return recorder_on(self._recorder, Owner(CRONJOBS, cronjob.metadata))

    def _now(self, cronjob: CronJob) -> datetime:
        """The time by which the schedule goes: it has run at the cluster's speed since the
        CronJob was created."""
        created = parse_time(cronjob.metadata.creation_timestamp)
        return created + timedelta(seconds=self._clock.age_s(created))


def _controller_of(job: Job) -> str | tuple[()]:
    owner = job.metadata.controller()
    return f"{job.metadata.namespace}/{owner.name}" if owner is not None else ()
