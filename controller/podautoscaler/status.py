"""The status of an autoscaler, its conditions above all (spec podautoscaler 5). Pure."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.podautoscaler.model import AutoscalerStatus


class ConditionType(StrEnum):
    ABLE_TO_SCALE = "AbleToScale"
    SCALING_ACTIVE = "ScalingActive"
    SCALING_LIMITED = "ScalingLimited"
    SCALED_TO_ZERO = "ScaledToZero"


class Draft:
    """A status in the making: conditions keep their places, and their times while they hold."""

    def __init__(self, status: AutoscalerStatus, now: str) -> None:
        """`now`: RFC 3339."""
        self._old = status
        self._now = now
        self._conditions = [dict(one) for one in status.conditions]
        self._shown: JsonObject = {}

    def set(self, kind: ConditionType, holds: bool, reason: str, message: str) -> None:
        """Add or change a condition."""
        known = next((one for one in self._conditions if one.get("type") == kind), None)
        if known is None:
            known = {"type": kind.value}
            self._conditions.append(known)
        status = "True" if holds else "False"
        if known.get("status") != status:
            known["lastTransitionTime"] = self._now
        known.update(status=status, reason=reason, message=message)

    def drop(self, kind: ConditionType) -> None:
        """Take a condition away."""
        self._conditions = [one for one in self._conditions if one.get("type") != kind]

    def numbers(
        self, current: int, desired: int, metrics: Sequence[JsonObject], *, rescaled: bool
    ) -> None:
        """Replicas that there are and should be, what the metrics are, whether that has changed
        anything."""
        last = self._now if rescaled else self._old.last_scale_time
        self._shown = {
            "currentReplicas": current,
            "desiredReplicas": desired,
            **({"lastScaleTime": last} if last else {}),
            **({"currentMetrics": list(metrics)} if metrics else {}),
        }

    def tree(self) -> JsonObject | None:
        """The status to write; None if it is the old one."""
        old = msgspec.to_builtins(self._old)
        old.setdefault("currentReplicas", 0)
        old.setdefault("desiredReplicas", 0)
        new = {**(self._shown or old), "conditions": self._conditions}
        return None if new == {**old, "conditions": self._old.conditions} else new
