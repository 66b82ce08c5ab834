"""Who is silent: probe times, grace periods and the conditions of a silent node (spec 3).

Pure. Probe times are on the controller's own monotonic clock, never on timestamps written by
kubelets, so a skewed node clock cannot kill a node, and a restarted controller gives every node
a fresh grace period. Invariant: a condition that is already Unknown is never touched again.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node


class Status(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


GRACE_PERIOD_S = 50.0
"""node-monitor-grace-period: silence of a node that once posted a Ready condition."""
STARTUP_GRACE_PERIOD_S = 60.0
"""node-startup-grace-period: silence of a node that never posted one."""
WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that a kubelet must keep posting; NetworkUnavailable belongs to somebody else."""


class Health(msgspec.Struct, frozen=True):
    """What the controller remembers of one node between passes.

    ``probe_s`` is the last sign of life in nominal monotonic seconds; ``heartbeat`` is the Ready
    condition's lastHeartbeatTime, None without such a condition; ``renew_time`` the newest one
    seen in the Lease; ``ready`` the Ready status, None without the condition.
    """

    probe_s: float
    heartbeat: str | None
    renew_time: str
    ready: str | None


def observe(
    known: Health | None, node: Node, renew_time: str | None, now_s: float, created_s: float
) -> Health:
    """The node's health after looking at its object and its Lease's ``renew_time`` (step 1).

    ``created_s`` is the node's creation on the same clock as ``now_s``. Returns ``known`` itself
    when nothing changed.
    """
    condition = nodeutil.ready_condition(node)
    heartbeat = None if condition is None else condition.last_heartbeat_time or ""
    ready = None if condition is None else condition.status
    if known is None:
        probe_s = created_s if condition is None else now_s
        return Health(now_s if renew_time else probe_s, heartbeat, renew_time or "", ready)
    seen = renewed(known, renew_time, now_s)
    if heartbeat == known.heartbeat and ready == known.ready:
        return seen
    probe_s = now_s if heartbeat != known.heartbeat else seen.probe_s
    return Health(probe_s, heartbeat, seen.renew_time, ready)


def renewed(known: Health, renew_time: str | None, now_s: float) -> Health:
    """As `observe`, of a node whose object is what it was then."""
    if not renew_time or not _later(renew_time, known.renew_time):
        return known
    return Health(now_s, known.heartbeat, renew_time, known.ready)


def _later(new: str, old: str) -> bool:
    """Whether one MicroTime is after another; both are UTC in the same fixed-width form."""
    return new > old


def is_silent(health: Health, now_s: float) -> bool:
    """Whether the grace period of the node is over (spec 3, step 2)."""
    grace_s = STARTUP_GRACE_PERIOD_S if health.heartbeat is None else GRACE_PERIOD_S
    return now_s > health.probe_s + grace_s


def silence(
    conditions: Sequence[JsonObject], created: str, now: str
) -> tuple[list[JsonObject], bool]:
    """The conditions of a silent node, and whether Ready changed: only then are they written.

    ``conditions`` is ``status.conditions`` as a JSON tree (order and foreign entries are kept),
    ``created`` the node's creationTimestamp, ``now`` RFC 3339 (spec 3, step 3).
    """
    out = [dict(condition) for condition in conditions]
    ready_changed = False
    for wanted in WATCHED_CONDITIONS:
        present = next((c for c in out if c.get("type") == wanted), None)
        if present is None:
            out.append(
                {
                    "type": wanted,
                    "status": Status.UNKNOWN.value,
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": now,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }
            )
        elif present.get("status") != Status.UNKNOWN:
            present["status"] = Status.UNKNOWN.value
            present["reason"] = "NodeStatusUnknown"
            present["message"] = "Kubelet stopped posting node status."
            present["lastTransitionTime"] = now
        else:
            continue
        ready_changed = ready_changed or wanted == "Ready"
    return out, ready_changed


def pod_marked_not_ready(status: JsonObject, now: str) -> JsonObject | None:
    """A pod's status with Ready set to False, or None if there is nothing to do (spec 6)."""
    conditions = status.get("conditions") or []
    for index, condition in enumerate(conditions):
        if condition.get("type") == "Ready" and condition.get("status") != Status.FALSE:
            changed = condition | {"status": Status.FALSE.value, "lastTransitionTime": now}
            return status | {"conditions": [*conditions[:index], changed, *conditions[index + 1 :]]}
    return None


def stable_labels(labels: dict[str, str]) -> dict[str, str]:
    """The beta os/arch labels that must be set to follow their stable ones (spec 3, end)."""
    pairs = (
        ("kubernetes.io/os", "beta.kubernetes.io/os"),
        ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
    )
    return {
        beta: labels[stable]
        for stable, beta in pairs
        if stable in labels and labels.get(beta) != labels[stable]
    }
