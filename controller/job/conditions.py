"""Conditions of a Job, and how they change (spec job-controller 10)."""

from collections.abc import Sequence

from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.job.model import Reason
from kubeherd.controller.workload.jobs import ConditionType


def condition(
    kind: ConditionType, reason: str, message: str, timestamp: str, status: str = "True"
) -> Condition:
    """A new condition."""
    return Condition(
        type=kind.value,
        status=status,
        reason=str(reason),
        message=message,
        last_probe_time=timestamp,
        last_transition_time=timestamp,
    )


def failing(reason: Reason, message: str, timestamp: str) -> Condition:
    """The Job is going to fail: said before its pods have ended."""
    return condition(ConditionType.FAILURE_TARGET, reason, message, timestamp)


def succeeding(reason: Reason, message: str, timestamp: str) -> Condition:
    """The Job is going to be complete: said before its pods have ended."""
    return condition(ConditionType.SUCCESS_CRITERIA_MET, reason, message, timestamp)


def ended(interim: Condition, timestamp: str) -> Condition:
    """The condition with which a Job ends that was failing or succeeding."""
    kind = (
        ConditionType.COMPLETE
        if interim.type == ConditionType.SUCCESS_CRITERIA_MET
        else ConditionType.FAILED
    )
    return condition(kind, interim.reason, interim.message, timestamp)


def is_success(ending: Condition | None) -> bool:
    """Whether a Job is about to end well, so that what its pods still do is no failure."""
    return ending is not None and ending.type == ConditionType.SUCCESS_CRITERIA_MET


def ensured(known: Sequence[Condition], wanted: Condition) -> tuple[list[Condition], bool]:
    """The conditions with the wanted one in place, and whether that is a change.

    A condition that is there changes if status, reason or message differ; one that is missing is
    added, unless its status is False.
    """
    result = list(known)
    for at, old in enumerate(result):
        if old.type == wanted.type:
            same = (old.status, old.reason, old.message)
            if same == (wanted.status, wanted.reason, wanted.message):
                return result, False
            result[at] = wanted
            return result, True
    if wanted.status == "False":
        return result, False
    return [*result, wanted], True
