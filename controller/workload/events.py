"""What a controller says about a workload, as values: plans have events in them."""

from collections.abc import Callable
from enum import StrEnum

import msgspec


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


class Event(msgspec.Struct, frozen=True):
    """An event to record on the workload; `reason`: in upper camel case, as Kubernetes has it."""

    type: EventType
    reason: str
    message: str


Record = Callable[[Event], None]
"""Says an event on one workload; never waits, never fails."""


class PodReason(StrEnum):
    """Why a pod was or was not made or deleted (pkg/controller/controller_utils.go)."""

    SUCCESSFUL_CREATE = "SuccessfulCreate"
    FAILED_CREATE = "FailedCreate"
    SUCCESSFUL_DELETE = "SuccessfulDelete"
    FAILED_DELETE = "FailedDelete"
