"""Typed views of what the CronJob controller works with (batch/v1)."""

from enum import StrEnum

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ObjectMeta, Wire
from kubeherd.controller.workload.jobs import Job

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""Annotation of a Job: the time of the schedule that it was made for."""


class ConcurrencyPolicy(StrEnum):
    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class CronJobSpec(Wire, frozen=True, kw_only=True):
    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = ""
    suspend: bool | None = None
    job_template: JsonObject = msgspec.field(default_factory=dict)
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None


class JobReference(Wire, frozen=True, kw_only=True):
    """A Job in ``status.active``."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class CronJobStatus(Wire, frozen=True, kw_only=True):
    active: list[JobReference] = msgspec.field(default_factory=list)
    last_schedule_time: str | None = None
    last_successful_time: str | None = None

    def is_active(self, uid: str) -> bool:
        """Whether the Job with this UID is in the list of active ones."""
        return any(reference.uid == uid for reference in self.active)


class CronJob(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: CronJobSpec = msgspec.field(default_factory=CronJobSpec)
    status: CronJobStatus = msgspec.field(default_factory=CronJobStatus)


class Ending(StrEnum):
    """The condition with which a Job has ended."""

    COMPLETE = "Complete"
    FAILED = "Failed"


def ending(job: Job) -> Ending | None:
    """How a Job ended; None while it goes on."""
    for condition in job.status.conditions:
        if condition.status == "True" and condition.type in tuple(Ending):
            return Ending(condition.type)
    return None
