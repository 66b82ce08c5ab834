"""What is wrong with each node of a process, as a value made from the list of faults. Pure.

Several faults of a kind add up: a node is cut off if it is by any of them, delays and skews are
sums, and a heartbeat has to pass each loss.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.faults import Fault, FaultError, Nodes, effects
from kubeherd.faults.effects import Direction, PodEffect

CARRIED_OUT = (*effects.PROCESS, *effects.CONNECTION, *effects.NODE)
"""Those that an agent process carries out."""

_EARLY_S = 1e-6
"""A timer may be early by less than this: the change that it was set for has happened."""


class Since(NamedTuple):
    """An effect and the nominal second, by a monotonic clock, since which it is in force."""

    fault: str
    effect: effects.Effect
    began_s: float


class Loss(NamedTuple):
    """The probability with which a heartbeat is left out, and the id of the fault."""

    fault: str
    probability: float


class NodeFaults(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one node now."""

    down: bool = False
    frozen: bool = False
    partitions: tuple[tuple[effects.Partition, float], ...] = ()
    """Each with the second since which it is in force."""
    slow: tuple[effects.SlowNetwork, ...] = ()
    losses: tuple[Loss, ...] = ()
    late_s: float = 0.0
    skews: tuple[tuple[effects.ClockSkew, float], ...] = ()
    """As partitions."""
    pods: tuple[PodEffect, ...] = ()


UNHURT = NodeFaults()


class Cut(NamedTuple):
    """What does not get through now, and the second at which that may change (None: never)."""

    direction: Direction | None
    until_s: float | None


def check(faults: Sequence[Fault]) -> None:
    """FaultError if one of the faults is none that an agent carries out."""
    for fault in faults:
        if not isinstance(fault.effect, CARRIED_OUT) or not isinstance(fault.target, Nodes):
            raise FaultError(f"an agent of nodes does not carry out {fault}")
        if isinstance(fault.effect, PodEffect):
            try:
                labels.parse(fault.effect.selector)
            except BadRequest as error:
                raise FaultError(f"{fault.kind}: {error}") from None


def of_nodes(
    faults: Sequence[Fault], since_s: Mapping[str, float], names: Collection[str]
) -> dict[str, NodeFaults]:
    """What is wrong with those of the nodes `names` that are hurt; `since_s` by the faults' ids."""
    found: dict[str, list[Since]] = {}
    for fault in faults:
        if isinstance(fault.target, Nodes) and fault.undoable:
            for name in fault.target.names:
                if name in names:
                    since = Since(fault.id, fault.effect, since_s[fault.id])
                    found.setdefault(name, []).append(since)
    return {name: _together(hurts) for name, hurts in found.items()}


def cut(partitions: Sequence[tuple[effects.Partition, float]], now_s: float) -> Cut:
    """What partitions stop at `now_s`: those that flap do it at the beginning of each period."""
    stopped: set[Direction] = set()
    changes: list[float] = []
    for partition, began_s in partitions:
        age_s = now_s - began_s + _EARLY_S
        if partition.cuts(age_s):
            stopped.add(partition.direction)
        if (change_s := partition.changes_in_s(age_s)) is not None:
            changes.append(began_s + age_s + change_s)
    if {Direction.REQUESTS, Direction.ANSWERS} <= stopped:
        stopped.add(Direction.BOTH)
    worst = next((one for one in Direction if one in stopped), None)
    return Cut(worst, min(changes, default=None))


def ahead(skews: Sequence[tuple[effects.ClockSkew, float]], now_s: float) -> tuple[float, float]:
    """By how many seconds a clock is ahead at `now_s`, and how many more each second."""
    ahead_s = sum(skew.offset_s + skew.drift * (now_s - began_s) for skew, began_s in skews)
    return ahead_s, sum(skew.drift for skew, _ in skews)


def _together(hurts: Sequence[Since]) -> NodeFaults:
    """The value of all that is wrong with one node."""
    down = frozen = False
    late_s = 0.0
    partitions, slow, losses, skews, pods = [], [], [], [], []
    for fault, effect, began_s in hurts:
        match effect:
            case effects.Crash() | effects.Stop():
                down = True
            case effects.Freeze():
                frozen = True
            case effects.Partition():
                partitions.append((effect, began_s))
            case effects.SlowNetwork():
                slow.append(effect)
            case effects.HeartbeatLoss():
                losses.append(Loss(fault, effect.probability))
            case effects.HeartbeatDelay():
                late_s += effect.delay_s
            case effects.ClockSkew():
                skews.append((effect, began_s))
            case _ if isinstance(effect, PodEffect):
                pods.append(effect)
    return NodeFaults(
        down=down,
        frozen=frozen,
        partitions=tuple(partitions),
        slow=tuple(slow),
        losses=tuple(losses),
        late_s=late_s,
        skews=tuple(skews),
        pods=tuple(pods),
    )
