"""One pod per node: what to create and to delete on each node (spec sections 5.2 to 5.4).

Invariants: a node gets at most one create; without surge a node with any pod, even a terminating
one, gets none; a failed pod is deleted only outside its back-off.
"""

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_available, is_ready, is_terminating
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.daemonset.backoff import next_entry, remaining_delay_s
from kubeherd.controller.daemonset.model import (
    HASH_LABEL,
    BackoffEntry,
    Now,
    Observed,
    Reason,
)
from kubeherd.controller.daemonset.nodes import Decision
from kubeherd.controller.daemonset.placement import Placement, order
from kubeherd.controller.workload.events import Event, EventType


class Managed(msgspec.Struct):
    """Creates by node name, deletes, and what comes with them."""

    creates: list[str] = msgspec.field(default_factory=list)
    deletes: list[Pod] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=list)
    backoff: dict[str, BackoffEntry] = msgspec.field(default_factory=dict)
    requeue_after_s: float | None = None


class _Manager:
    """Goes over the nodes once; holds what all of them share."""

    def __init__(self, observed: Observed, hash_: str, *, surge: bool, now: Now) -> None:
        self.observed = observed
        self.hash = hash_
        self.surge = surge
        self.now = now
        self.out = Managed()

    def node(self, name: str, decision: Decision, pods: list[Pod]) -> None:
        if decision.should_run and not pods:
            self.out.creates.append(name)
        elif decision.should_continue:
            running = [pod for pod in pods if self._is_running(name, pod)]
            if self.surge:
                self._surging(name, decision, running)
            elif len(running) > 1:
                self.out.deletes += sorted(running, key=order)[1:]
        else:
            self.out.deletes += [pod for pod in pods if not is_terminating(pod)]

    def _is_running(self, name: str, pod: Pod) -> bool:
        """False for terminating pods, and for ended ones, which this also disposes of."""
        if is_terminating(pod):
            return False
        where = f"{pod.metadata.namespace}/{pod.metadata.name} on node {name}"
        if pod.status.phase == "Failed":
            self._failed(name, pod, where)
            return False
        if pod.status.phase == "Succeeded":
            message = f"Found succeeded daemon pod {where}, will try to delete it"
            self.out.events.append(Event(EventType.NORMAL, Reason.SUCCEEDED_DAEMON_POD, message))
            self.out.deletes.append(pod)
            return False
        return True

    def _failed(self, name: str, pod: Pod, where: str) -> None:
        entry = self.out.backoff.get(name) or self.observed.backoff.get(name)
        delay_s = remaining_delay_s(entry, self.now.monotonic_s)
        if delay_s is not None:
            known_s = self.out.requeue_after_s
            self.out.requeue_after_s = delay_s if known_s is None else min(known_s, delay_s)
            return
        self.out.backoff[name] = next_entry(entry, self.now.monotonic_s)
        message = f"Found failed daemon pod {where}, will try to kill it"
        self.out.events.append(Event(EventType.WARNING, Reason.FAILED_DAEMON_POD, message))
        self.out.deletes.append(pod)

    def _surging(self, name: str, decision: Decision, running: list[Pod]) -> None:
        if not running:
            if decision.should_run:
                self.out.creates.append(name)
            return
        if len(running) == 1:
            return
        new: Pod | None = None
        old: Pod | None = None
        for pod in sorted(running, key=order):
            if pod.metadata.labels.get(HASH_LABEL) == self.hash:
                if new is None:
                    new = pod
                    continue
            elif old is None:
                old = pod
                continue
            self.out.deletes.append(pod)
        if new is not None and old is not None:
            min_ready_s = self.observed.daemonset.spec.min_ready_seconds
            if not is_ready(old) or is_available(new, min_ready_s, self.now.age_s):
                self.out.deletes.append(old)


def manage(
    observed: Observed, placement: Placement, hash_: str, *, surge: bool, now: Now
) -> Managed:
    """What to create and delete so that each node has what it should have."""
    manager = _Manager(observed, hash_, surge=surge, now=now)
    all_pods = placement.pods
    for name, decision in placement.decisions.items():
        pods = all_pods.get(name)
        if pods is None:
            if decision.should_run:
                manager.out.creates.append(name)
        elif len(pods) > 1 or not decision.should_continue or _needs_care(pods[0], surge=surge):
            manager.node(name, decision, pods)
    for name, pods in all_pods.items():
        if name not in placement.nodes:
            manager.out.deletes += [pod for pod in pods if not pod.spec.node_name]
    return manager.out


def _needs_care(pod: Pod, *, surge: bool) -> bool:
    """False for the usual case: the only pod of its node, neither ended nor terminating."""
    return pod.status.phase in ("Failed", "Succeeded") or (surge and is_terminating(pod))
