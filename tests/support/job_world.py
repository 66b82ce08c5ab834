"""Builders of Jobs and their pods, and a whole sync as a function, without I/O."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from daemonset_world import EPOCH, NS

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    LabelSelector,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.controller.job import tracking
from kubeherd.controller.job.assess import assess
from kubeherd.controller.job.manage import manage
from kubeherd.controller.job.model import (
    FAILURES_ANNOTATION,
    FINALIZER,
    IGNORED_FAILURES_ANNOTATION,
    INDEX_ANNOTATION,
    Actions,
    Backoff,
    Now,
    Observed,
    Outcome,
)
from kubeherd.controller.workload.events import Event
from kubeherd.controller.workload.jobs import Job, JobSpec, JobStatus

LABELS = {"batch.kubernetes.io/controller-uid": "job-uid"}


def at(seconds: float) -> str:
    """The timestamp of a second of the world."""
    return format_time(EPOCH + timedelta(seconds=seconds))


def now(seconds: float = 0.0) -> Now:
    """The moment of a second of the world."""
    moment = EPOCH + timedelta(seconds=seconds)

    def age_s(past: str | datetime) -> float:
        then = parse_time(past) if isinstance(past, str) else past
        return (moment - then).total_seconds()

    return Now(timestamp=format_time(moment), age_s=age_s)


def job(
    name: str = "job", *, deleting: bool = False, status: JobStatus | None = None, **spec: Any
) -> Job:
    """A Job of one completion; `spec` by the names of `JobSpec`, or of the wire if it is a tree."""
    fields: dict[str, Any] = {
        "completions": 1,
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app"}]},
        },
        **spec,
    }
    return Job(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            uid="job-uid",
            resource_version="1",
            generation=1,
            deletion_timestamp=at(0) if deleting else None,
        ),
        spec=JobSpec(selector=LabelSelector(match_labels=LABELS), **fields),
        status=status or JobStatus(),
    )


def typed(kind: type[Any], tree: JsonObject) -> Any:
    """A struct from the tree that the API has of it."""
    return msgspec.convert(tree, kind)


def owner(uid: str = "job-uid", name: str = "job") -> OwnerReference:
    return OwnerReference(api_version="batch/v1", kind="Job", name=name, uid=uid, controller=True)


def pod(
    name: str = "a",
    phase: str = "Running",
    *,
    index: int | str | None = None,
    failures: int | str | None = None,
    ignored: int | None = None,
    tracked: bool = True,
    deleting_s: float | None = None,
    ready: bool = False,
    exit_code: int | None = None,
    ended_s: float = 0.0,
    conditions: Sequence[Condition] = (),
    owned: OwnerReference | None = owner(),  # noqa: B008 - immutable
    **status: Any,
) -> Pod:
    """A pod of the Job; its UID is its name. `exit_code`: its container has ended."""
    annotations = {
        key: str(value)
        for key, value in (
            (INDEX_ANNOTATION, index),
            (FAILURES_ANNOTATION, failures),
            (IGNORED_FAILURES_ANNOTATION, ignored),
        )
        if value is not None
    }
    ready_condition = Condition(type="Ready", status="True", last_transition_time=at(0))
    terminated = {"exitCode": exit_code, "finishedAt": at(ended_s)}
    containers: list[JsonObject] = [{"name": "main", "state": {"terminated": terminated}}]
    if exit_code is not None:
        status["container_statuses"] = containers
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=NS,
            uid=name,
            resource_version="1",
            labels=LABELS,
            annotations=annotations,
            creation_timestamp=at(0),
            deletion_timestamp=None if deleting_s is None else at(deleting_s),
            finalizers=(FINALIZER,) if tracked else (),
            owner_references=(owned,) if owned else (),
        ),
        spec=PodSpec(restart_policy="Never"),
        status=PodStatus(
            phase=phase,
            conditions=[*([ready_condition] if ready else []), *conditions],
            **status,
        ),
    )


def pods(phases: dict[str, int]) -> list[Pod]:
    """So many pods of each phase; ``Ready`` is a running one that is."""
    return [
        pod(f"{phase}-{n}", "Running" if phase == "Ready" else phase, ready=phase == "Ready")
        for phase, count in phases.items()
        for n in range(count)
    ]


class Synced(msgspec.Struct):
    """What one sync did: every status that it wrote, and the writes to pods."""

    status: JobStatus
    writes: list[JobStatus]
    actions: Actions
    untracked: list[str]
    events: list[Event]
    backoff: Backoff

    @property
    def created_indexes(self) -> list[int]:
        return [new.index for new in self.actions.creates]

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Types and reasons."""
        return [(found.type, found.reason) for found in self.status.conditions]


def sync(
    of: Job,
    its_pods: Sequence[Pod],
    when: Now | None = None,
    *,
    backoff: Backoff = Backoff(),  # noqa: B008 - immutable
    room: int | None = None,
) -> Synced:
    """A sync whose writes all succeed; `room`: no more pods than that can be created."""
    moment = when or now()
    standing = assess(Observed(of, its_pods, backoff), moment)
    actions = manage(standing, moment)
    made = len(actions.creates)
    outcome = Outcome(
        created=made if room is None else min(room, made),
        deleted=len(actions.deletes),
        deleted_ready=sum(gone.ready for gone in actions.deletes),
    )
    tracked = tracking.track(standing, actions, outcome, moment)
    writes = [tracked.status] if tracked.changed else []
    untracked = [gone.metadata.name for gone in tracked.untrack]
    status = tracking.settled(tracked.status, tracked.uids - set(untracked))
    final, events = tracking.finish(of, msgspec.structs.replace(tracked, status=status), moment)
    if final != tracked.status:
        writes.append(final)
    return Synced(
        status=final,
        writes=writes,
        actions=actions,
        untracked=untracked,
        events=[*tracked.events, *events],
        backoff=standing.backoff,
    )


COMPLETE = [
    ("SuccessCriteriaMet", "CompletionsReached"),
    ("Complete", "CompletionsReached"),
]


def failed_for(reason: str, *, ended: bool = True) -> list[tuple[str, str]]:
    """Types and reasons of a Job that fails; `ended`: and has failed."""
    return [("FailureTarget", reason), *([("Failed", reason)] if ended else [])]


class Want(msgspec.Struct):
    """What a sync should come to; ready and terminating are 0 if not said."""

    creates: int = 0
    deletes: int = 0
    active: int = 0
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    indexes: str = ""
    conditions: list[tuple[str, str]] = []
    patches: int = 0


def shown(synced: Synced) -> Want:
    status = synced.status
    dropped = len(synced.actions.deletes) if synced.actions.untrack else 0
    return Want(
        creates=len(synced.actions.creates),
        deletes=len(synced.actions.deletes),
        active=status.active,
        ready=status.ready or 0,
        terminating=status.terminating or 0,
        succeeded=status.succeeded,
        failed=status.failed,
        indexes=status.completed_indexes,
        conditions=synced.conditions,
        patches=len(synced.untracked) + dropped,
    )
