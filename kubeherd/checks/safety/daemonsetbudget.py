"""A rolling update of a DaemonSet makes no more nodes unavailable than its budget says.

Only what the controller itself does is judged: its deletions of available pods. A node counts
against the budget from such a deletion until it has an available pod again. A node that lost its
pod otherwise counts, too, as soon as the controller can know: when it has been so for a while, and
no more of them than the DaemonSet's status, which the same controller writes, tells.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import (
    CLOCK_GRAIN_S,
    about,
    condition,
    ended,
    going,
    number,
    owner_uid,
    part,
    ready,
    scaled,
    target_node,
    text,
    uid_of,
)
from kubeherd.checks.placement import daemon_fit
from kubeherd.checks.writes import WriteChecker, controller_did, deleted_pod, generation
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

_SUSPECTS: Final = 1000
"""Deletions by unknown hands that an event may still claim."""


class _Down(msgspec.Struct):
    """An eligible node without an available pod."""

    since: float
    by_controller: bool = False


class _Fleet:
    """A DaemonSet and its pods by node."""

    def __init__(self, daemonset: Object) -> None:
        self.daemonset = daemonset
        self.eligible: set[str] = set()
        self.pods: dict[str, dict[str, Object]] = {}
        self.down: dict[str, _Down] = {}
        self.allowed = Recent()

    @property
    def min_ready_s(self) -> int:
        return number(self.daemonset, "spec", "minReadySeconds")


def max_unavailable(daemonset: Object, desired: int) -> int:
    """How many nodes may be without an available pod; every node with another strategy, which
    deletes nothing."""
    update = part(daemonset, "spec", "updateStrategy")
    if text(update, "type") not in ("", "RollingUpdate"):
        return desired
    rolling = part(update, "rollingUpdate")
    limit = scaled(rolling.get("maxUnavailable", 1), desired, up=True)
    surge = scaled(rolling.get("maxSurge", 0), desired, up=True)
    return limit or (0 if surge else 1)


class DaemonSetBudget(WriteChecker):
    """Deletions by the DaemonSet controller."""

    name = "daemonset-budget"
    promise = (
        "The DaemonSet controller deletes an available pod only while fewer nodes than "
        "maxUnavailable are without one."
    )
    source = "docs/spec/daemonset-controller.md 8.3, 8.4; Concepts: Perform a Rolling Update"
    resources = frozenset({"daemonsets.apps", "pods", "nodes", "events", "namespaces"})

    def __init__(self) -> None:
        super().__init__()
        self._fleets: dict[str, _Fleet] = {}
        self._suspects: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._ready_at: dict[str, float] = {}
        """When the history showed a pod to become Ready, by uid: what the pod says of it is by the
        clock of its node."""

    # --- state ---

    def note(self, write: Write, before: Object | None) -> None:
        """Keep the fleets up to date."""
        match write.resource:
            case "daemonsets.apps":
                self._note_daemonset(write)
            case "nodes":
                self._note_node(write, before)
            case "pods":
                for tree in (before, write.object):
                    self._note_pod(write, tree)
                if not ready(write.object):
                    self._ready_at.pop(write.uid, None)
                elif before is None or not ready(before):
                    self._ready_at[write.uid] = 0.0 if write.restored else write.at

    def _note_daemonset(self, write: Write) -> None:
        uid = uid_of(write.object)
        if write.verb is Verb.DELETE:
            self._fleets.pop(uid, None)
            return
        fleet = self._fleets.get(uid)
        if fleet is None:
            fleet = self._fleets[uid] = _Fleet(write.object)
            for pod in self.live.owned(uid, "pods"):
                fleet.pods.setdefault(target_node(pod), {})[text(pod, "metadata", "name")] = pod
            self._place(fleet, write.at)
        elif generation(fleet.daemonset) != generation(write.object):
            fleet.daemonset = write.object
            self._place(fleet, write.at)
        fleet.daemonset = write.object

    def _place(self, fleet: _Fleet, at: float) -> None:
        """Which nodes are eligible, anew."""
        template = part(fleet.daemonset, "spec", "template")
        nodes = self.live.all("nodes")
        fleet.eligible = {n for n, node in nodes.items() if daemon_fit(template, node).should_run}
        for name in [name for name in fleet.down if name not in fleet.eligible]:
            del fleet.down[name]
        for name in fleet.eligible:
            self._look_at_node(fleet, name, at)
        self._limit(fleet, at)

    def _limit(self, fleet: _Fleet, at: float) -> None:
        allowed = max_unavailable(fleet.daemonset, len(fleet.eligible))
        fleet.allowed.set(at, allowed, self.lag_s)

    def _note_node(self, write: Write, before: Object | None) -> None:
        gone = write.verb is Verb.DELETE
        if not gone and before is not None and _decisive(before) == _decisive(write.object):
            return
        for fleet in self._fleets.values():
            template = part(fleet.daemonset, "spec", "template")
            if not gone and daemon_fit(template, write.object).should_run:
                fleet.eligible.add(write.name)
                self._look_at_node(fleet, write.name, write.at)
            else:
                fleet.eligible.discard(write.name)
                fleet.down.pop(write.name, None)
            self._limit(fleet, write.at)

    def _note_pod(self, write: Write, tree: Object | None) -> None:
        """`tree` is the pod before or after the write: both may be of a fleet."""
        fleet = self._fleets.get(owner_uid(tree or {}, "DaemonSet"))
        node = target_node(tree or {})
        if fleet is None or not node:
            return
        pods = fleet.pods.setdefault(node, {})
        if tree is write.object and write.verb is not Verb.DELETE:
            pods[write.name] = write.object
        else:
            pods.pop(write.name, None)
            if not pods:
                fleet.pods.pop(node, None)
        self._look_at_node(fleet, node, write.at)

    def _look_at_node(self, fleet: _Fleet, node: str, at: float) -> None:
        if node not in fleet.eligible:
            return
        if self._serves(fleet, node, at):
            fleet.down.pop(node, None)
        else:
            fleet.down.setdefault(node, _Down(at))

    def _serves(self, fleet: _Fleet, node: str, at: float) -> bool:
        return any(
            not going(pod) and not ended(pod) and self.available(pod, fleet.min_ready_s, at)
            for pod in fleet.pods.get(node, {}).values()
        )

    # --- judgement ---

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A deletion by the controller, known at once or by its event."""
        if write.resource == "events":
            told = deleted_pod(write.object)
            node = self._suspects.pop(told, None) if told else None
            if told and node:
                yield from self._deleted(write, told[0], node, told[1])
        elif write.resource == "pods" and before is not None and not going(before):
            uid = owner_uid(before, "DaemonSet")
            if uid and (write.verb is Verb.DELETE or going(write.object)):
                yield from self._marked(write, before, uid)
        if write.resource == "pods" and write.verb is Verb.DELETE:
            self._ready_at.pop(write.uid, None)

    def _marked(self, write: Write, before: Object, uid: str) -> Iterator[Violation]:
        fleet, node = self._fleets.get(uid), target_node(before)
        if fleet is None or going(fleet.daemonset) or self.ending(write.namespace):
            return
        if node not in fleet.eligible:
            return
        if not self._surely_available(write, before, fleet.min_ready_s):
            return
        if condition(write.object, "DisruptionTarget") or ended(before):
            return  # evicted or preempted, whoever asked for it
        did = controller_did(write.actor, "daemon-set-controller")
        if did:
            yield from self._deleted(write, uid, node, write.name)
        elif did is None:
            self._suspects[uid, write.name] = node
            if len(self._suspects) > _SUSPECTS:
                self._suspects.popitem(last=False)

    def _surely_available(self, write: Write, pod: Object, min_ready_s: int) -> bool:
        """Whether the controller must have counted a pod as available."""
        since = self._ready_at.get(write.uid)
        if since is None or since > write.at - self.lag_s or (min_ready_s and not self.speed):
            return False
        speed = self.speed or 1.0
        margin_s = (CLOCK_GRAIN_S + self.lag_s) * speed
        return self.ready_s(pod, write.at) >= min_ready_s + margin_s

    def _deleted(self, write: Write, uid: str, node: str, pod: str) -> Iterator[Violation]:
        """The controller has deleted an available pod."""
        fleet = self._fleets.get(uid)
        if fleet is None or node not in fleet.eligible:
            return
        self.looked_at += 1
        for name in list(fleet.down):
            self._look_at_node(fleet, name, write.at)
        if node not in fleet.down:
            return  # another pod serves there
        fleet.down[node].by_controller = True
        own = [name for name, down in fleet.down.items() if down.by_controller]
        known = number(fleet.daemonset, "status", "numberUnavailable")
        before = write.at - self.lag_s
        lost = [n for n, d in fleet.down.items() if not d.by_controller and d.since < before]
        allowed = fleet.allowed.most(write.at, self.lag_s)
        count = len(own) + min(len(lost), known)
        if count > allowed:
            daemonset = f"{text(fleet.daemonset, 'metadata', 'name')}"
            what = (
                f"DaemonSet {write.namespace}/{daemonset}: {pod} on {node} is deleted, which "
                f"makes {count} nodes unavailable ({', '.join(sorted([*own, *lost])[:10])}); "
                f"{allowed} may be"
            )
            yield self.violation(write, what, about(write), f"nodes {node}")


def _decisive(node: Object) -> tuple[object, object]:
    return part(node, "metadata").get("labels"), part(node, "spec").get("taints")
