"""Which Jobs an event wakes, and which pods have lost theirs (spec job-controller 2). Pure.

Invariants: an event of an owned pod wakes its Job and no other; a pod that nobody counts any more
is named as an orphan when it still has the finalizer.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job.model import BATCH_S, FINALIZER
from kubeherd.controller.workload.jobs import Job, finished

Key = tuple[str, str]
"""(namespace, name) of a Job or a pod."""


class Wake(NamedTuple):
    """A Job to look at, now or after some nominal seconds."""

    key: Key
    after_s: float = BATCH_S


class Wakes(NamedTuple):
    """Jobs to look at, and whether the pod of the event is an orphan with a finalizer."""

    jobs: list[Wake]
    orphan: bool = False


class Jobs(Protocol):
    """Lookups in the cache of Jobs."""

    def get(self, namespace: str, name: str) -> Job | None:
        """The Job of this name, None if the cache has none."""

    def in_namespace(self, namespace: str) -> Iterable[Job]:
        """All Jobs of a namespace, in no order."""


def key_of(job: Job) -> Key:
    """The queue key of a Job."""
    return job.metadata.namespace, job.metadata.name


def resolve(pod: Pod, jobs: Jobs) -> Job | None:
    """The Job that controls a pod: kind, name and UID must agree."""
    reference = pod.metadata.controller()
    if reference is None or reference.kind != JOBS.kind:
        return None
    found = jobs.get(pod.metadata.namespace, reference.name)
    return found if found is not None and found.metadata.uid == reference.uid else None


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
        job = resolve(pod, jobs)
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


def _owner(pod: Pod, jobs: Jobs) -> list[Wake]:
    job = resolve(pod, jobs)
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
    job = resolve(pod, jobs)
    return job is None or (not job.managed_elsewhere and finished(job) is not None)
