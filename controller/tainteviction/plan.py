"""Which pods a node's NoExecute taints evict, and when (spec node-lifecycle, 7).

Pure. Timers start when the controller first schedules them; a taint's timeAdded is not looked at.
Invariants: a running timer is never moved; a pod is marked for deletion once per life.
"""

from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from kubeherd.cluster.api.helpers.scheduling import TaintEffect, tolerates
from kubeherd.cluster.api.objects import Pod, Taint, Toleration

Key = tuple[str, str]
"""(namespace, name)."""


class Change(Enum):
    """What a look at a pod led to."""

    NONE = auto()
    STARTED = auto()
    CANCELLED = auto()
    """A running timer was given up: worth an event."""
    AT_ONCE = auto()
    AT_ONCE_CANCELLED = auto()
    """As AT_ONCE, and a running timer was given up for it."""


class Timer(msgspec.Struct, frozen=True):
    """A pod's eviction, due in nominal monotonic seconds."""

    uid: str
    due_s: float


def no_execute(taints: Sequence[Taint]) -> list[Taint]:
    """The taints that evict."""
    return [taint for taint in taints if taint.effect == TaintEffect.NO_EXECUTE]


def tolerated_for_s(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """How long a pod tolerates these NoExecute taints; 0: not at all; None: for ever.

    The first matching toleration of each taint is used, and the least of their seconds counts.
    """
    limits: list[int] = []
    for taint in taints:
        used = next((t for t in tolerations if tolerates(t, taint)), None)
        if used is None:
            return 0.0
        if used.toleration_seconds is not None:
            limits.append(used.toleration_seconds)
    return float(max(0, min(limits))) if limits else None


class Evictions(msgspec.Struct):
    """All running timers, and the pods whose deletion was already asked for."""

    timers: dict[Key, Timer] = msgspec.field(default_factory=dict)
    marked: dict[Key, str] = msgspec.field(default_factory=dict)
    """The uids of pods marked for deletion."""

    def look_at(self, pod: Pod, taints: Sequence[Taint], now_s: float) -> Change:
        """Decide about a pod on a node with these NoExecute taints."""
        key = pod.metadata.namespace, pod.metadata.name
        if not taints:
            return self._cancel(key)
        limit_s = tolerated_for_s(taints, pod.spec.tolerations)
        if limit_s is None:
            return self._cancel(key)
        timer = self.timers.get(key)
        running = timer is not None and timer.uid == pod.metadata.uid
        if limit_s > 0 and running:
            return Change.NONE
        if self.marked.get(key) == pod.metadata.uid:
            return Change.NONE
        self.timers[key] = Timer(pod.metadata.uid, now_s + limit_s)
        if limit_s > 0:
            return Change.STARTED
        return Change.AT_ONCE_CANCELLED if running else Change.AT_ONCE

    def forget(self, key: Key) -> Change:
        """The pod is gone."""
        self.marked.pop(key, None)
        return self._cancel(key)

    def due(self, now_s: float) -> list[tuple[Key, str]]:
        """Take the pods whose time has come, with their uids."""
        out = [(key, timer.uid) for key, timer in self.timers.items() if timer.due_s <= now_s]
        for key, uid in out:
            del self.timers[key]
            self.marked[key] = uid
        return out

    def failed(self, key: Key, uid: str) -> None:
        """The deletion did not succeed: the pod may be marked again."""
        if self.marked.get(key) == uid:
            del self.marked[key]

    def next_s(self) -> float | None:
        """When the next timer is due; None without timers."""
        return min((timer.due_s for timer in self.timers.values()), default=None)

    def _cancel(self, key: Key) -> Change:
        return Change.NONE if self.timers.pop(key, None) is None else Change.CANCELLED
