"""How a rollout gets on: the condition Progressing and its deadline (section 9).

Invariants: without progressDeadlineSeconds there is no such condition; a rollout that is complete
is not judged again before there is another one; a rollout that timed out stays so until it makes
progress or is complete.
"""

import msgspec

from kubeherd.controller.deployment import conditions, limits
from kubeherd.controller.deployment.conditions import Conditions, Reason, Status, Type
from kubeherd.controller.deployment.model import Now
from kubeherd.controller.deployment.replicasets import Divided
from kubeherd.controller.deployment.status import count, is_complete
from kubeherd.controller.workload.apps import (
    Deployment,
    DeploymentCondition,
    DeploymentStatus,
    ReplicaSet,
)

_SKEW_S = 1.0
"""Looked at that much after the deadline: the times of conditions are whole seconds."""


def rollout_status(deployment: Deployment, sets: Divided, now: Now) -> DeploymentStatus:
    """The status during a rollout: numbers and all conditions."""
    status = count(deployment, sets, now.text)
    found = _with_progress(deployment, status, sets.new, now)
    failure = _replica_failure(sets)
    if failure is None:
        found = conditions.without(found, Type.REPLICA_FAILURE)
    else:
        found = conditions.with_condition(found, failure)
    return msgspec.structs.replace(status, conditions=found)


def with_pause(deployment: Deployment, now: str) -> Conditions:
    """The conditions with a word on pausing or resuming, lest the deadline passes in a pause."""
    known = conditions.find(deployment.status.conditions, Type.PROGRESSING)
    told = known is not None and known.reason == Reason.PAUSED
    timed_out = known is not None and known.reason == Reason.TIMED_OUT
    paused = deployment.spec.paused
    if not limits.has_progress_deadline(deployment) or timed_out or paused == told:
        return deployment.status.conditions
    reason, what = (Reason.PAUSED, "paused") if paused else (Reason.RESUMED, "resumed")
    new = conditions.condition(
        Type.PROGRESSING, Status.UNKNOWN, reason, f"Deployment is {what}", now
    )
    return conditions.with_condition(deployment.status.conditions, new)


def progressing(reason: Reason, message: str, now: str) -> DeploymentCondition:
    """The condition of a rollout that gets on."""
    return conditions.condition(Type.PROGRESSING, Status.TRUE, reason, message, now)


def create_failed(deployment: Deployment, message: str, now: str) -> DeploymentStatus:
    """The status after the new ReplicaSet could not be made."""
    if not limits.has_progress_deadline(deployment):
        return deployment.status
    failed = conditions.condition(
        Type.PROGRESSING, Status.FALSE, Reason.CREATE_FAILED, message, now
    )
    found = conditions.with_condition(deployment.status.conditions, failed)
    return msgspec.structs.replace(deployment.status, conditions=found)


def makes_progress(before: DeploymentStatus, status: DeploymentStatus) -> bool:
    """Whether there are more updated, ready or available pods, or fewer old ones."""
    return (
        status.updated_replicas > before.updated_replicas
        or status.replicas - status.updated_replicas < before.replicas - before.updated_replicas
        or status.ready_replicas > before.ready_replicas
        or status.available_replicas > before.available_replicas
    )


def has_timed_out(deployment: Deployment, found: Conditions, now: Now) -> bool:
    """Whether nothing has happened for longer than progressDeadlineSeconds."""
    known = conditions.find(found, Type.PROGRESSING)
    if (
        not limits.has_progress_deadline(deployment)
        or known is None
        or known.reason == Reason.COMPLETE
    ):
        return False
    return known.reason == Reason.TIMED_OUT or _left_s(deployment, known, now) < 0


def check_after_s(deployment: Deployment, status: DeploymentStatus, now: Now) -> float | None:
    """When to look whether the rollout stands still; None: there is nothing to look for."""
    known = conditions.find(status.conditions, Type.PROGRESSING)
    if (
        not limits.has_progress_deadline(deployment)
        or known is None
        or known.reason == Reason.TIMED_OUT
        or is_complete(deployment, status)
    ):
        return None
    return max(0.0, _left_s(deployment, known, now)) + _SKEW_S


def _left_s(deployment: Deployment, known: DeploymentCondition, now: Now) -> float:
    deadline_s = deployment.spec.progress_deadline_seconds or 0
    since = known.last_update_time
    return deadline_s - now.age_s(since) if since else -1.0


def _with_progress(
    deployment: Deployment, status: DeploymentStatus, new: ReplicaSet | None, now: Now
) -> list[DeploymentCondition]:
    found = list(status.conditions)
    if not limits.has_progress_deadline(deployment):
        return conditions.without(found, Type.PROGRESSING)
    known = conditions.find(deployment.status.conditions, Type.PROGRESSING)
    settled = known is not None and known.reason == Reason.COMPLETE
    if settled and status.replicas == status.updated_replicas:
        return found
    who = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, status):
        message = f"{who} has successfully progressed."
        return conditions.with_condition(found, progressing(Reason.COMPLETE, message, now.text))
    if makes_progress(deployment.status, status):
        made = progressing(Reason.UPDATED, f"{who} is progressing.", now.text)
        if known is not None and known.status == Status.TRUE:
            made = msgspec.structs.replace(made, last_transition_time=known.last_transition_time)
        # Set anew even if it says the same: its lastUpdateTime is when there was progress last.
        return [*conditions.without(found, Type.PROGRESSING), made]
    if has_timed_out(deployment, found, now):
        message = f"{who} has timed out progressing."
        late = conditions.condition(
            Type.PROGRESSING, Status.FALSE, Reason.TIMED_OUT, message, now.text
        )
        return conditions.with_condition(found, late)
    return found


def _replica_failure(sets: Divided) -> DeploymentCondition | None:
    """What keeps a ReplicaSet from its pods: of the new one, else of the oldest that says so."""
    for one in (sets.new, *sets.old):
        for failure in one.status.conditions if one is not None else ():
            if failure.type == Type.REPLICA_FAILURE:
                return conditions.promoted(failure)
    return None
