"""One scheduling attempt: examine nodes, choose one, or say why there is none (spec 2 to 4).

Pure. A pod whose affinity names its nodes (every DaemonSet pod) costs one look-up, however many
nodes there are: the other nodes share one reason and are only counted.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from kubeherd.controller.scheduler import messages
from kubeherd.controller.scheduler.filters import NOT_NAMED, Rejection, reject
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, Placement, PodInfo
from kubeherd.controller.scheduler.topology import Rules
from kubeherd.controller.scheduler.volumes import PodVolumes

MIN_FEASIBLE_NODES = 100
MIN_FEASIBLE_PERCENT = 5

Nominated = Mapping[str, Sequence[PodInfo]]
"""Waiting pods that preempted on a node, by node: their room is kept from pods below them."""


class Attempt(msgspec.Struct):
    """What the filters said. ``whole`` is set when the pod was refused before any node was seen."""

    total: int
    feasible: list[NodeInfo] = msgspec.field(default_factory=list)
    rejections: dict[str, Rejection] = msgspec.field(default_factory=dict)
    whole: str = ""
    whole_by: str = ""
    """The plugin that refused it then, if that is known to be lifted by something."""
    examined: int = 0

    @property
    def plugins(self) -> frozenset[str]:
        """The plugins that rejected some node: what must change before another attempt."""
        if self.whole_by:
            return frozenset({self.whole_by})
        return frozenset(rejection.plugin for rejection in self.rejections.values())


def enough_feasible(nodes: int) -> int:
    """How many feasible nodes are enough to choose from in a cluster of this size."""
    if nodes <= MIN_FEASIBLE_NODES:
        return nodes
    percent = max(MIN_FEASIBLE_PERCENT, 50 - nodes // 125)
    return max(MIN_FEASIBLE_NODES, nodes * percent // 100)


def with_rules(
    where: Placement, rules: Rules | None, volumes: PodVolumes | None = None
) -> Placement:
    """The placement with what holds about other pods and about the pod's volumes now."""
    if rules is None and volumes is None:
        return where
    return msgspec.structs.replace(where, rules=rules, volumes=volumes)


def reserved(pod: PodInfo, node: str, nominated: Nominated) -> list[PodInfo]:
    """Pods nominated to a node that this pod must leave room for."""
    return [
        other
        for other in nominated.get(node, ())
        if other.priority >= pod.priority and other.uid != pod.uid
    ]


def reject_on(
    pod: PodInfo, where: Placement, info: NodeInfo, nominated: Nominated
) -> Rejection | None:
    """`reject`, with the room of nominated pods of no lower priority taken."""
    others = reserved(pod, info.name, nominated) if nominated else []
    return reject(pod, where, info.with_pods(others) if others else info)


def attempt(
    pod: PodInfo,
    where: Placement,
    nodes: Mapping[str, NodeInfo],
    nominated: Nominated,
    start: int = 0,
) -> Attempt:
    """Examine the nodes (``start``: where to begin among them, so that load goes round)."""
    out = Attempt(len(nodes))
    if not nodes:
        return out
    own = nodes.get(pod.pod.status.nominated_node_name)
    if own is not None and reject_on(pod, where, own, nominated) is None:
        out.feasible.append(own)
        return out
    if where.names is not None:
        if not where.names:
            out.whole = messages.AFFINITY_CONFLICT
            return out
        candidates = [info for name in sorted(where.names) if (info := nodes.get(name))]
    else:
        candidates = list(nodes.values())
        candidates = candidates[start % len(nodes) :] + candidates[: start % len(nodes)]
    wanted = enough_feasible(len(candidates))
    for info in candidates:
        out.examined += 1
        rejection = reject_on(pod, where, info, nominated)
        if rejection is not None:
            out.rejections[info.name] = rejection
            continue
        out.feasible.append(info)
        if len(out.feasible) >= wanted:
            break
    return out


def failure_message(result: Attempt) -> str:
    """The message of an attempt without a feasible node, before preemption has its say."""
    if result.total == 0:
        return messages.NO_NODES
    if result.whole:
        return messages.unavailable(result.total, result.whole)
    counts = messages.reason_counts(
        result.rejections.values(), result.total - len(result.rejections), NOT_NAMED
    )
    return messages.unavailable(result.total, messages.histogram(counts))


def choose(scores: Mapping[str, float], tie_break: Callable[[Sequence[str]], str]) -> str:
    """The node with the best score; ``tie_break`` picks among equals."""
    best = max(scores.values())
    names = [name for name, score in scores.items() if score == best]
    return names[0] if len(names) == 1 else tie_break(names)
