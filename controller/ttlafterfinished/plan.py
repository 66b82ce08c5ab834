"""When a Job that has ended is deleted (spec job-controller 12). Pure."""

from collections.abc import Callable

from kubeherd.controller.workload.jobs import Job, finished


class NoTimeOfEnd(Exception):
    """The condition with which a Job ended does not say when; the text names the Job."""


def needs_cleanup(job: Job) -> bool:
    """Whether the Job has ended, is not being deleted, and wants to be deleted some day."""
    return (
        job.spec.ttl_seconds_after_finished is not None
        and job.metadata.deletion_timestamp is None
        and finished(job) is not None
    )


def time_left_s(job: Job, age_s: Callable[[str], float]) -> float | None:
    """Nominal seconds until the Job is deleted, 0 or less: now. None if it is not to be.

    NoTimeOfEnd if nobody can tell.
    """
    end, ttl_s = finished(job), job.spec.ttl_seconds_after_finished
    if end is None or ttl_s is None or not needs_cleanup(job):
        return None
    if not end.last_transition_time:
        name = f"{job.metadata.namespace}/{job.metadata.name}"
        raise NoTimeOfEnd(f"unable to find the time when the Job {name} finished")
    return ttl_s - age_s(end.last_transition_time)
