"""Promises about nodes that are called silent: only who really was, and for long enough."""

from collections.abc import Iterator
from math import inf
from typing import Final

from kubeherd.checks.objects import about, condition, seconds, text
from kubeherd.checks.writes import WriteChecker, controller_did
from kubeherd.faults import Component, Fault, Nodes, effects
from kubeherd.history import (
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Record,
    Verb,
    Violation,
    Write,
)
from kubeherd.history.records import Object

GRACE_S: Final = 50.0
"""node-monitor-grace-period of Kubernetes 1.36, nominal."""
TERM_S: Final = 15.0
"""A leader that could not renew for so long begins anew, and hears everybody for the first time."""
_LEASES: Final = "leases.coordination.k8s.io"
_NODE_LEASES: Final = "kube-node-lease"
_APISERVER: Final = "apiserver"
_LEADER: Final = "kube-system/kube-controller-manager"


class SilenceWaitedFor(WriteChecker):
    """Nodes that become Unknown."""

    name = "silence-is-waited-for"
    promise = (
        "A node is called silent only after it was, for the whole grace period, with an API server "
        "and a leader that would have heard it; by a Lease whose time goes back it is not heard."
    )
    source = "docs/spec/node-lifecycle.md 3; Concepts: Nodes, Node heartbeats"
    resources = frozenset({"nodes", _LEASES})

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[str, float] = {}
        """The last sign of life, by node."""
        self._renewed: dict[str, float] = {}
        """The newest time in each node's Lease: one that goes back is no sign of life."""
        self._woke: dict[str, float] = {}
        """When a node was heard again after it was silent for long enough, by node."""
        self._deaf_until = 0.0
        """Until then nobody could have heard anything."""
        self._away: dict[str, float] = {}
        """Since when the API server is away, by fault."""
        self._disturbed: dict[str, float] = {}
        """Faults of what is not a node, by id: until when they excuse; infinite: still."""

    def see(self, record: Record) -> Iterator[Violation]:
        """Signs of life come in other records than writes, too."""
        if isinstance(record, Heartbeat):
            self._renew(record.node, record.renewed, record.at)
        elif isinstance(record, Leads) and record.lease == _LEADER:
            self._deaf_until = record.at
        elif isinstance(record, FaultBegan):
            self._begin(record.fault, record.at)
        elif isinstance(record, FaultEnded):
            self._end(record.id, record.at)
        return super().see(record)

    def _begin(self, fault: Fault, at: float) -> None:
        if isinstance(fault.target, Nodes) or not fault.undoable:
            return
        if fault.target == Component(_APISERVER) and isinstance(fault.effect, effects.PROCESS):
            self._away[fault.id] = at
        else:
            self._disturbed[fault.id] = inf

    def _end(self, fault_id: str, at: float) -> None:
        since = self._away.pop(fault_id, None)
        if since is not None and at - since > TERM_S / (self.speed or 1.0) + self.lag_s:
            self._deaf_until = at
        if fault_id in self._disturbed:
            self._disturbed[fault_id] = at + self.lag_s

    def _excused(self, at: float) -> bool:
        """Whether something keeps the leader from hearing what the API server was told."""
        self._disturbed = {one: until for one, until in self._disturbed.items() if until >= at}
        return bool(self._disturbed)

    def _renew(self, node: str, renewed: float, at: float) -> None:
        if renewed > self._renewed.get(node, 0.0):
            self._renewed[node] = renewed
            self._hear(node, at)

    def _hear(self, node: str, at: float) -> None:
        if node in self._alive and self._long_enough(self._silent_s(node, at)):
            self._woke[node] = at
        self._alive[node] = at

    def _silent_s(self, node: str, at: float) -> float:
        """For how many nominal seconds somebody listened to this node in vain."""
        since = max(self._alive.get(node, 0.0), self._deaf_until)
        return (at - since) * (self.speed or 1.0)

    def _long_enough(self, silent_s: float) -> bool:
        return silent_s >= GRACE_S - self.lag_s * (self.speed or 1.0)

    def note(self, write: Write, before: Object | None) -> None:
        """A renewed Lease, or what a node says of itself."""
        if write.resource == _LEASES:
            if write.namespace == _NODE_LEASES and write.verb is not Verb.DELETE:
                self._renew(write.name, seconds(text(write.object, "spec", "renewTime")), write.at)
        elif write.verb is Verb.DELETE:
            self._alive.pop(write.name, None)
            self._renewed.pop(write.name, None)
            self._woke.pop(write.name, None)
        elif before is None or _said(before) != _said(write.object):
            self._hear(write.name, write.at)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A node whose Ready becomes Unknown."""
        if write.resource != "nodes" or before is None or write.verb is Verb.DELETE:
            return
        if _ready(write.object) != "Unknown" or _ready(before) == "Unknown":
            return
        if controller_did(write.actor, "node-controller") is False or self._excused(write.at):
            return
        self.looked_at += 1
        silent_s = self._silent_s(write.name, write.at)
        just_heard = write.at - self._woke.get(write.name, -inf) <= self.lag_s
        if not (just_heard or self._long_enough(silent_s)):
            what = f"node {write.name} is called silent after {silent_s:.1f} s"
            yield self.violation(write, what, about(write))


def _ready(node: Object) -> str:
    return text(condition(node, "Ready"), "status")


def _said(node: Object) -> object:
    """What only a kubelet changes."""
    return condition(node, "Ready").get("lastHeartbeatTime")
