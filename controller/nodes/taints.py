"""Which taints a node must carry for its conditions, and the patches that get it there (spec 4).

Pure. Only the keys of this controller are ever added or removed; all other taints, and the order
of what stays, are left alone. Additions go out before removals, so a node that changes from
not-ready to unreachable is never without a taint in between.
"""

from collections.abc import Iterable, Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node, Taint
from kubeherd.controller.nodes.health import Status

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
KEY_FOR_CONDITION: dict[tuple[str, str], str] = {
    ("Ready", Status.FALSE.value): NOT_READY,
    ("Ready", Status.UNKNOWN.value): UNREACHABLE,
    ("MemoryPressure", Status.TRUE.value): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", Status.TRUE.value): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", Status.TRUE.value): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", Status.TRUE.value): "node.kubernetes.io/network-unavailable",
}
NO_SCHEDULE_KEYS = frozenset({*KEY_FOR_CONDITION.values(), UNSCHEDULABLE})

Key = tuple[str, str]
"""A taint's identity: (key, effect)."""
NO_EXECUTE_PAIR: tuple[Key, Key] = ((NOT_READY, NO_EXECUTE), (UNREACHABLE, NO_EXECUTE))


class TaintChange(msgspec.Struct, frozen=True):
    """Taints to add and to remove, as (key, effect); empty means that all is well."""

    add: tuple[Key, ...] = ()
    remove: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def no_schedule_change(node: Node) -> TaintChange:
    """What to change of the NoSchedule taints that mirror conditions and cordoning."""
    wanted = {
        key
        for condition in node.status.conditions
        if (key := KEY_FOR_CONDITION.get((condition.type, condition.status)))
    }
    if node.spec.unschedulable:
        wanted.add(UNSCHEDULABLE)
    present = {
        taint.key
        for taint in node.spec.taints
        if taint.effect == NO_SCHEDULE and taint.key in NO_SCHEDULE_KEYS
    }
    return TaintChange(
        tuple((key, NO_SCHEDULE) for key in sorted(wanted - present)),
        tuple((key, NO_SCHEDULE) for key in sorted(present - wanted)),
    )


def no_execute_key(ready: str | None) -> Key | None:
    """The NoExecute taint for a Ready status; None when Ready is True or was never posted."""
    if ready == Status.FALSE:
        return NO_EXECUTE_PAIR[0]
    if ready == Status.UNKNOWN:
        return NO_EXECUTE_PAIR[1]
    return None


def has(taints: Iterable[Taint], wanted: Key) -> bool:
    """Whether a taint with this key and effect is there."""
    return any((taint.key, taint.effect) == wanted for taint in taints)


def swap_change(taints: Sequence[Taint], wanted: Key) -> TaintChange:
    """To carry exactly ``wanted`` of the two NoExecute taints."""
    add = () if has(taints, wanted) else (wanted,)
    return TaintChange(add, tuple(k for k in NO_EXECUTE_PAIR if k != wanted and has(taints, k)))


def clear_change(taints: Sequence[Taint]) -> TaintChange:
    """To carry neither NoExecute taint."""
    return TaintChange((), tuple(key for key in NO_EXECUTE_PAIR if has(taints, key)))


def taint_tree(taint: Taint) -> JsonObject:
    """The taint as JSON, empty fields left out."""
    out: JsonObject = {"key": taint.key}
    if taint.value:
        out["value"] = taint.value
    out["effect"] = taint.effect
    if taint.time_added is not None:
        out["timeAdded"] = taint.time_added
    return out


def taints_patch(node: Node, taints: Sequence[Taint]) -> JsonObject:
    """A patch to these taints. The list is atomic, so the node's resourceVersion goes along."""
    return {
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "spec": {"taints": [taint_tree(taint) for taint in taints] or None},
    }


def with_added(node: Node, keys: Sequence[Key], now: str) -> list[Taint] | None:
    """The node's taints plus those missing of ``keys``; None if none is missing."""
    missing = [key for key in keys if not has(node.spec.taints, key)]
    if not missing:
        return None
    return [
        *node.spec.taints,
        *(Taint(key=key, effect=effect, time_added=now) for key, effect in missing),
    ]


def with_removed(node: Node, keys: Sequence[Key]) -> list[Taint] | None:
    """The node's taints without ``keys``; None if none of them is there."""
    gone = set(keys)
    left = [taint for taint in node.spec.taints if (taint.key, taint.effect) not in gone]
    return None if len(left) == len(node.spec.taints) else left
