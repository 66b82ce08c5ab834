"""What a Job asks of a single pod (spec job-controller 3.1): its index, whether it failed, when it
ended, its failure counts."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.controller.job.model import (
    FAILURES_ANNOTATION,
    FINALIZER,
    IGNORED_FAILURES_ANNOTATION,
    INDEX_ANNOTATION,
    NO_INDEX,
    SeenPod,
)
from kubeherd.controller.workload.jobs import Job, PodReplacementPolicy

_INT32_MAX = 2**31 - 1


def replaces_only_failed(job: Job) -> bool:
    """Whether a pod that is being deleted is waited for before it is replaced."""
    return (
        job.spec.pod_replacement_policy == PodReplacementPolicy.FAILED
        or job.spec.pod_failure_policy is not None
    )


def see(job: Job, pods: Iterable[Pod]) -> list[SeenPod]:
    """All pods of a Job with what has to be known of them."""
    only_failed = replaces_only_failed(job)
    indexed = job.indexed
    seen = []
    for pod in pods:
        metadata, phase = pod.metadata, pod.status.phase
        failed, succeeded = phase == "Failed", phase == "Succeeded"
        deleting = metadata.deletion_timestamp is not None
        ended = failed or succeeded
        seen.append(
            SeenPod(
                pod=pod,
                index=completion_index(pod) if indexed else NO_INDEX,
                tracked=FINALIZER in metadata.finalizers,
                failed=failed or (deleting and not succeeded and not only_failed),
                succeeded=succeeded,
                active=not ended and not deleting,
                terminating=deleting and not ended,
            )
        )
    return seen


def completion_index(pod: Pod) -> int:
    """The pod's index; NO_INDEX if its annotation is missing, or no number from 0 on."""
    value = _number(pod.metadata.annotations.get(INDEX_ANNOTATION, ""))
    return NO_INDEX if value is None or value < 0 else value


def failures(pod: Pod) -> int:
    """Failures of this index that count, before this pod."""
    return _count(pod, FAILURES_ANNOTATION)


def ignored_failures(pod: Pod) -> int:
    """Failures of this index that a policy ignores, before this pod."""
    return _count(pod, IGNORED_FAILURES_ANNOTATION)


def _count(pod: Pod, annotation: str) -> int:
    value = _number(pod.metadata.annotations.get(annotation, ""))
    return value if value is not None and 0 <= value <= _INT32_MAX else 0


def _number(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def finished_at(pod: Pod) -> datetime:
    """When a pod ended: the first of these that is known. The end of its last container; since when
    it is not Ready; when its deletion was asked for; when it was created."""
    return (
        _last_container_end(pod)
        or _not_ready_since(pod)
        or _deletion_asked_at(pod)
        or parse_time(pod.metadata.creation_timestamp)
    )


def _last_container_end(pod: Pod) -> datetime | None:
    """None if a container has not ended; of init containers only restartable ones are asked."""
    end = _latest(pod.status.container_statuses, None)
    if not pod.status.init_container_statuses:
        return end
    sidecars = {c.name for c in pod.spec.init_containers if c.restart_policy == "Always"}
    return _latest(
        [s for s in pod.status.init_container_statuses if s.get("name") in sidecars], end
    )


def _latest(statuses: Iterable[JsonObject], latest: datetime | None) -> datetime | None:
    for status in statuses:
        end = _ended_at(status)
        if end is None:
            return None
        latest = end if latest is None else max(latest, end)
    return latest


def _ended_at(status: JsonObject) -> datetime | None:
    terminated = (status.get("state") or {}).get("terminated") or {}
    finished = terminated.get("finishedAt")
    return parse_time(finished) if finished else None


def _not_ready_since(pod: Pod) -> datetime | None:
    ready = pod.status.condition("Ready")
    if ready is None or ready.status != "False" or not ready.last_transition_time:
        return None
    return parse_time(ready.last_transition_time)


def _deletion_asked_at(pod: Pod) -> datetime | None:
    metadata = pod.metadata
    if metadata.deletion_timestamp is None:
        return None
    grace = timedelta(seconds=metadata.deletion_grace_period_seconds or 0)
    return parse_time(metadata.deletion_timestamp) - grace


def restarts(pod: Pod) -> int:
    """How often containers of a pod that has not ended were restarted."""
    if pod.status.phase not in ("Running", "Pending"):
        return 0
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return sum(status.get("restartCount") or 0 for status in statuses)
