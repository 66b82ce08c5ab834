"""Which pods are garbage (spec node-lifecycle, 8: the table).

Pure. Invariants: a node's pods are orphaned only after the node was missing for the quarantine; a
pod on a node that exists is only ever collected when it ended, or when an out-of-service taint
vouches that the node is down.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.objects import Node, Pod

PERIOD_S = 20.0
QUARANTINE_S = 40.0
TERMINATED_THRESHOLD = 12_500
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_LIVING_PHASES = frozenset({"Pending", "Running", "Unknown"})


def terminated(pods: Iterable[Pod], threshold: int = TERMINATED_THRESHOLD) -> list[Pod]:
    """Step 1: ended pods beyond the threshold, evicted ones first, then oldest, then by name."""
    ended = [pod for pod in pods if pod.status.phase not in _LIVING_PHASES]
    excess = len(ended) - threshold
    if excess <= 0:
        return []
    ended.sort(
        key=lambda pod: (
            not (pod.status.phase == "Failed" and pod.status.reason == "Evicted"),
            pod.metadata.creation_timestamp,
            pod.metadata.name,
        )
    )
    return ended[:excess]


def out_of_service(pods: Iterable[Pod], nodes: Mapping[str, Node]) -> list[Pod]:
    """Step 2: terminating pods on nodes that are not ready and marked out of service."""
    down = {
        name
        for name, node in nodes.items()
        if any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
        and not nodeutil.is_ready(node)
    }
    if not down:
        return []
    return [
        pod
        for pod in pods
        if pod.metadata.deletion_timestamp is not None and pod.spec.node_name in down
    ]


def unscheduled_terminating(pods: Iterable[Pod]) -> list[Pod]:
    """Step 4: pods being deleted that no node will ever finish."""
    return [
        pod
        for pod in pods
        if pod.metadata.deletion_timestamp is not None and not pod.spec.node_name
    ]


class Quarantine(msgspec.Struct):
    """Node names that pods carry and that no Node has, with the time when they may be judged."""

    until_s: dict[str, float] = msgspec.field(default_factory=dict)

    def suspects(self, pods: Iterable[Pod], nodes: Collection[str], now_s: float) -> frozenset[str]:
        """Step 3: take the names whose quarantine is over; the caller asks the API for each."""
        for pod in pods:
            name = pod.spec.node_name
            if name and name not in nodes:
                self.until_s.setdefault(name, now_s + QUARANTINE_S)
        over = [name for name, until_s in self.until_s.items() if until_s <= now_s]
        for name in over:
            del self.until_s[name]
        return frozenset(name for name in over if name not in nodes)
