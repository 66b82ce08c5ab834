"""The conditions of a Deployment (section 8).

Invariants: a condition whose status and reason stay the same is not touched; one that changes moves
to the end; `lastTransitionTime` changes with the status only.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.workload.apps import DeploymentCondition

Conditions = Sequence[DeploymentCondition]


class Type(StrEnum):
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    REPLICA_FAILURE = "ReplicaFailure"


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition has its status."""

    AVAILABLE = "MinimumReplicasAvailable"
    UNAVAILABLE = "MinimumReplicasUnavailable"
    CREATED = "NewReplicaSetCreated"
    CREATE_FAILED = "ReplicaSetCreateError"
    FOUND = "FoundNewReplicaSet"
    UPDATED = "ReplicaSetUpdated"
    COMPLETE = "NewReplicaSetAvailable"
    TIMED_OUT = "ProgressDeadlineExceeded"
    PAUSED = "DeploymentPaused"
    RESUMED = "DeploymentResumed"


def condition(
    type_: Type, status: Status, reason: Reason, message: str, now: str
) -> DeploymentCondition:
    """A new condition; `now`: RFC 3339."""
    return DeploymentCondition(
        type=type_.value,
        status=status.value,
        last_update_time=now,
        last_transition_time=now,
        reason=reason.value,
        message=message,
    )


def find(conditions: Conditions, type_: Type) -> DeploymentCondition | None:
    """The condition of a type, or None."""
    return next((one for one in conditions if one.type == type_), None)


def without(conditions: Conditions, type_: Type) -> list[DeploymentCondition]:
    """All but the condition of a type."""
    return [one for one in conditions if one.type != type_]


def with_condition(conditions: Conditions, new: DeploymentCondition) -> list[DeploymentCondition]:
    """The conditions with this one set."""
    type_ = Type(new.type)
    known = find(conditions, type_)
    if known is not None and known.status == new.status:
        if known.reason == new.reason:
            return list(conditions)
        new = msgspec.structs.replace(new, last_transition_time=known.last_transition_time)
    return [*without(conditions, type_), new]


def promoted(failure: Condition) -> DeploymentCondition:
    """The condition of a ReplicaSet as one of its Deployment."""
    return DeploymentCondition(
        type=failure.type,
        status=failure.status,
        last_update_time=failure.last_transition_time,
        last_transition_time=failure.last_transition_time,
        reason=failure.reason,
        message=failure.message,
    )
