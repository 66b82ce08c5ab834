"""Which of several feasible nodes is best (spec 2).

Pure. Never asked for DaemonSet pods: they have one feasible node at most. Each plugin scores from
0 to 100 and counts with its weight.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.helpers.scheduling import TaintEffect, compile_term, tolerated
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, PodInfo

MAX_SCORE = 100.0
_TAINT_WEIGHT = 3.0
_AFFINITY_WEIGHT = 2.0


def score(pod: PodInfo, nodes: Sequence[NodeInfo]) -> dict[str, float]:
    """The weighted sum of all plugins' scores, by node name."""
    taints = _reversed(_disliked_taints(pod, nodes))
    affinity = _normalised(_preferred_weights(pod, nodes))
    return {
        info.name: _TAINT_WEIGHT * taint
        + _AFFINITY_WEIGHT * preferred
        + _least_allocated(pod, info)
        + _balanced(pod, info)
        for info, taint, preferred in zip(nodes, taints, affinity, strict=True)
    }


def _disliked_taints(pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
    tolerations = pod.pod.spec.tolerations
    return [
        sum(
            taint.effect == TaintEffect.PREFER_NO_SCHEDULE and not tolerated(tolerations, taint)
            for taint in (info.node.spec.taints if info.node else ())
        )
        for info in nodes
    ]


def _preferred_weights(pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
    affinity = (pod.pod.spec.affinity or {}).get("nodeAffinity") or {}
    terms = [
        (compile_term(term.get("preference") or {}), int(term.get("weight") or 0))
        for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    ]
    return [
        sum(
            weight
            for match, weight in terms
            if match and info.node and match(info.node.metadata.labels, info.name)
        )
        for info in nodes
    ]


def _normalised(raw: Sequence[int]) -> list[float]:
    top = max(raw, default=0)
    return [MAX_SCORE * value / top if top else 0.0 for value in raw]


def _reversed(raw: Sequence[int]) -> list[float]:
    top = max(raw, default=0)
    return [MAX_SCORE - (MAX_SCORE * value / top if top else 0.0) for value in raw]


def _fractions(pod: PodInfo, info: NodeInfo) -> list[float]:
    """How full cpu and memory would be, 0 to 1; resources that the node lacks are left out."""
    return [
        min(1.0, (used + wanted) / whole)
        for name, used, wanted in zip(("cpu", "memory"), info.weight, pod.weight, strict=True)
        if (whole := info.allocatable.get(name, 0)) > 0
    ]


def _least_allocated(pod: PodInfo, info: NodeInfo) -> float:
    fractions = _fractions(pod, info)
    return sum((1 - f) * MAX_SCORE for f in fractions) / len(fractions) if fractions else 0.0


def _balanced(pod: PodInfo, info: NodeInfo) -> float:
    fractions = _fractions(pod, info)
    if len(fractions) < 2:
        return MAX_SCORE
    return (1 - abs(fractions[0] - fractions[1]) / 2) * MAX_SCORE
