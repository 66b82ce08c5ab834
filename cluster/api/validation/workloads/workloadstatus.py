"""Rules of the statuses of Deployment, ReplicaSet and StatefulSet (pkg/apis/apps/validation)."""

import msgspec

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid
from kubeherd.cluster.api.validation.checks import not_negative


class _Counts(msgspec.Struct, frozen=True):
    """The counts of a kind; `parts` are at most ``status.replicas``, `ready` is how the text about
    too many available ones calls the ready ones."""

    counts: tuple[str, ...]
    parts: tuple[str, ...]
    ready: str = "readyReplicas"

    def problems(self, status: JsonObject, old: JsonObject) -> list[Cause]:
        causes = [cause for name in self.counts for cause in not_negative(status, name, "status")]
        total = status.get("replicas", 0)
        causes += [
            invalid(f"status.{name}", status.get(name, 0), "cannot be greater than status.replicas")
            for name in self.parts
            if status.get(name, 0) > total
        ]
        available = status.get("availableReplicas", 0)
        if available > status.get("readyReplicas", 0):
            detail = f"cannot be greater than {self.ready}"
            causes.append(invalid("status.availableReplicas", available, detail))
        collisions, before = status.get("collisionCount"), old.get("collisionCount")
        if before is not None and "collisionCount" in self.counts and (collisions or 0) < before:
            shown = collisions if collisions is not None else 0
            causes.append(invalid("status.collisionCount", shown, "cannot be decremented"))
        return causes


_DEPLOYMENT = _Counts(
    ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
     "unavailableReplicas", "terminatingReplicas", "collisionCount"),
    ("updatedReplicas", "readyReplicas", "availableReplicas"),
)  # fmt: skip
_REPLICA_SET = _Counts(
    ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
     "observedGeneration", "terminatingReplicas"),
    ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)  # fmt: skip
_STATEFUL_SET = _Counts(
    ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
     "observedGeneration", "collisionCount"),
    ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    "status.readyReplicas",
)  # fmt: skip


def update_deployment_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a Deployment."""
    return _DEPLOYMENT.problems(new.get("status") or {}, old.get("status") or {})


def update_replica_set_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a ReplicaSet."""
    return _REPLICA_SET.problems(new.get("status") or {}, old.get("status") or {})


def update_stateful_set_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a StatefulSet."""
    return _STATEFUL_SET.problems(new.get("status") or {}, old.get("status") or {})
