"""Which Jobs an event wakes, and which pods have lost theirs (spec job-controller 2). Pure.

Invariants: an event of an owned pod wakes its Job and no other; a pod that nobody counts any more
is named as an orphan when it still has the finalizer.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job.model import BATCH_S, FINALIZER
from kubeherd.controller.workload.jobs import Job, finished
from kubeherd.controller.workload.wakeups import Key, Workloads, key_of, resolve


class Wake(NamedTuple):
    """A Job to look at, now or after some nominal seconds."""

    key: Key
    after_s: float = BATCH_S


class Wakes(NamedTuple):
    """Jobs to look at, and whether the pod of the event is an orphan with a finalizer."""

    jobs: list[Wake]
    orphan: bool = False


Jobs: TypeAlias = Workloads[Job]
"""Lookups in the cache of Jobs."""


def job_changed(old: Job | None, new: Job | None) -> list[Wake]:
    """A Job was added, deleted or updated. What only its status says waits for more."""
    job = new or old
    if job is None or (old is not None and new is not None and finished(new) is not None):
        return []
    same = old is not None and new is not None and _generation(old) == _generation(new)
    return [Wake(key_of(job), BATCH_S if same else 0.0)]


def _generation(job: Job) -> int:
    return job.metadata.generation


def pod_changed(
    old: Pod | None, new: Pod | None, jobs: Jobs, matches: Callable[[Job, Pod], bool]
) -> Wakes:
    """A pod was added, deleted or updated. `matches`: whether a Job's selector selects a pod."""
    pod = new or old
    if pod is None or (
        old is not None
        and new is not None
        and old.metadata.resource_version == new.metadata.resource_version
    ):
        return Wakes([])
    if new is None or pod.metadata.deletion_timestamp is not None:
        job = _job_of(pod, jobs)
        if job is None or finished(job) is not None:
            return Wakes([], orphan=new is not None and FINALIZER in pod.metadata.finalizers)
        return Wakes([Wake(key_of(job))])
    reference = pod.metadata.controller()
    passed_on = old is not None and old.metadata.controller() != reference
    wakes = _owner(old, jobs) if old is not None and passed_on else []
    if reference is not None:
        return Wakes(wakes + _owner(pod, jobs))
    if old is None or passed_on or old.metadata.labels != pod.metadata.labels:
        wakes += [
            Wake(key_of(job))
            for job in jobs.in_namespace(pod.metadata.namespace)
            if matches(job, pod)
        ]
    return Wakes(wakes, orphan=FINALIZER in pod.metadata.finalizers)


def _job_of(pod: Pod, jobs: Jobs) -> Job | None:
    return resolve(JOBS.kind, pod.metadata.controller(), pod.metadata.namespace, jobs)


def _owner(pod: Pod, jobs: Jobs) -> list[Wake]:
    job = _job_of(pod, jobs)
    return [] if job is None else [Wake(key_of(job))]


def is_orphan(pod: Pod, jobs: Jobs) -> bool:
    """Whether nobody will count a pod that has the finalizer: it belongs to no Job, or to one that
    is gone or has ended. Pods of other controllers, and of Jobs managed elsewhere, are not."""
    metadata = pod.metadata
    if FINALIZER not in metadata.finalizers:
        return False
    reference = metadata.controller()
    if reference is None:
        return True
    if reference.kind != JOBS.kind or reference.api_version != JOBS.api_version:
        return False
    job = _job_of(pod, jobs)
    return job is None or (not job.managed_elsewhere and finished(job) is not None)
