"""When a pod is tried: the active, back-off and unschedulable parts of the queue (spec 4).

Pure: the caller passes the time in nominal monotonic seconds. Invariants: a pod is in at most one
part; a pod whose last attempt failed waits out its back-off whatever wakes it; a pod that nothing
wakes is tried again after at most `MAX_UNSCHEDULABLE_S`.
"""

import heapq
from collections.abc import Iterable
from enum import Enum

import msgspec

from kubeherd.controller.scheduler.nodeinfo import Key
from kubeherd.controller.scheduler.topology import INTER_POD, SPREAD

INITIAL_BACKOFF_S = 1.0
MAX_BACKOFF_S = 10.0
MAX_UNSCHEDULABLE_S = 300.0


ABOUT_OTHER_PODS = frozenset({SPREAD, INTER_POD})


class Part(Enum):
    """Where a pod waits."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"


class _Entry(msgspec.Struct):
    key: Key
    priority: int
    queued_s: float
    part: Part = Part.ACTIVE
    attempts: int = 0
    failed_s: float = 0.0
    plugins: frozenset[str] = frozenset()
    nodes: frozenset[str] | None = None
    token: int = 0
    """The heap item that counts; older ones of the same pod are skipped."""


def backoff_s(attempts: int) -> float:
    """Back-off after this many failed attempts (at least 1)."""
    return min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2.0 ** min(max(attempts, 1) - 1, 10))


class SchedulingQueue(msgspec.Struct):
    """Pods waiting for a node."""

    _entries: dict[Key, _Entry] = msgspec.field(default_factory=dict)
    _taken: dict[Key, _Entry] = msgspec.field(default_factory=dict)
    """Popped and not yet done or failed: kept for their attempts."""
    _active: list[tuple[int, float, int, Key]] = msgspec.field(default_factory=list)
    _backing_off: list[tuple[float, int, Key]] = msgspec.field(default_factory=list)
    _unschedulable: dict[Key, None] = msgspec.field(default_factory=dict)
    _by_node: dict[str, dict[Key, None]] = msgspec.field(default_factory=dict)
    """The unschedulable by the nodes that matter to them, "" for those to which every node does: of
    thousands of daemon pods that wait, each for its own node, a change of one node concerns one."""
    _neighbourly: dict[Key, None] = msgspec.field(default_factory=dict)
    """Unschedulable for the sake of other pods, wherever these are; may hold some that are not."""
    _serial: int = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def part(self, key: Key) -> Part | None:
        """Where the pod waits, or None."""
        entry = self._entries.get(key)
        return None if entry is None else entry.part

    def add(self, key: Key, priority: int, now_s: float) -> None:
        """A new pod without a node: to the active part, unless it is here already."""
        if key not in self._entries and key not in self._taken:
            self._activate(_Entry(key, priority, now_s))

    def discard(self, key: Key) -> None:
        """The pod is bound or gone: forget it and its attempts."""
        entry = self._entries.pop(key, None)
        self._taken.pop(key, None)
        self._neighbourly.pop(key, None)
        if entry is not None:
            self._no_longer_unschedulable(entry)

    def pop(self, now_s: float) -> Key | None:
        """The next pod to try, by priority and then by time; None if none is due."""
        self._flush(now_s)
        while self._active:
            _priority, _queued, token, key = heapq.heappop(self._active)
            entry = self._entries.get(key)
            if entry is not None and entry.part is Part.ACTIVE and entry.token == token:
                del self._entries[key]
                self._taken[key] = entry
                return key
        return None

    def failed(
        self,
        key: Key,
        now_s: float,
        plugins: Iterable[str] = (),
        nodes: frozenset[str] | None = None,
        *,
        retry: bool = False,
    ) -> None:
        """The attempt failed. ``plugins`` rejected it; ``nodes`` are the only ones that matter.

        ``retry``: an error rather than a lack of room, so back-off alone decides.
        """
        entry = self._taken.pop(key, None)
        if entry is None:
            return
        entry.attempts += 1
        entry.failed_s = now_s
        entry.queued_s = now_s
        entry.plugins = frozenset(plugins)
        entry.nodes = nodes
        if retry:
            self._back_off(entry)
        else:
            entry.part = Part.UNSCHEDULABLE
            self._entries[key] = entry
            self._unschedulable[key] = None
            for node in _concerning(entry):
                self._by_node.setdefault(node, {})[key] = None
            if entry.plugins & ABOUT_OTHER_PODS:
                self._neighbourly[key] = None

    def wake_for_node(self, node: str, now_s: float, plugins: frozenset[str] | None = None) -> None:
        """A node changed for the better: wake those it may matter to.

        ``plugins``: only pods rejected by one of these (a freed port does not lift a taint).
        """
        for key in (*self._by_node.get("", ()), *self._by_node.get(node, ())):
            entry = self._entries[key]
            if plugins is None or not entry.plugins or entry.plugins & plugins:
                self._wake(entry, now_s)

    def wake_for_neighbours(self, now_s: float) -> bool:
        """Pods changed somewhere: wake those rejected by terms about other pods, if there are."""
        keys = [key for key in self._neighbourly if key in self._unschedulable]
        self._neighbourly.clear()
        for key in keys:
            self._wake(self._entries[key], now_s)
        return bool(keys)

    def wake(self, key: Key, now_s: float) -> None:
        """The pod itself changed."""
        if key in self._unschedulable:
            self._wake(self._entries[key], now_s)

    def next_s(self) -> float | None:
        """When something will be due without any event; None if nothing is waiting."""
        if self._active:
            return 0.0
        moments = [self._backing_off[0][0]] if self._backing_off else []
        if self._unschedulable:
            first = next(iter(self._unschedulable))
            moments.append(self._entries[first].failed_s + MAX_UNSCHEDULABLE_S)
        return min(moments, default=None)

    def _flush(self, now_s: float) -> None:
        while self._backing_off and self._backing_off[0][0] <= now_s:
            _until, token, key = heapq.heappop(self._backing_off)
            entry = self._entries.get(key)
            if entry is not None and entry.part is Part.BACKOFF and entry.token == token:
                self._activate(entry)
        while self._unschedulable:
            entry = self._entries[next(iter(self._unschedulable))]
            if now_s < entry.failed_s + MAX_UNSCHEDULABLE_S:
                break
            self._wake(entry, now_s)

    def _wake(self, entry: _Entry, now_s: float) -> None:
        self._no_longer_unschedulable(entry)
        if now_s < entry.failed_s + backoff_s(entry.attempts):
            self._back_off(entry)
        else:
            self._activate(entry)

    def _no_longer_unschedulable(self, entry: _Entry) -> None:
        if entry.key not in self._unschedulable:
            return
        del self._unschedulable[entry.key]
        for node in _concerning(entry):
            keys = self._by_node[node]
            del keys[entry.key]
            if not keys:
                del self._by_node[node]

    def _activate(self, entry: _Entry) -> None:
        self._place(entry, Part.ACTIVE)
        item = (-entry.priority, entry.queued_s, entry.token, entry.key)
        heapq.heappush(self._active, item)

    def _back_off(self, entry: _Entry) -> None:
        self._place(entry, Part.BACKOFF)
        until_s = entry.failed_s + backoff_s(entry.attempts)
        heapq.heappush(self._backing_off, (until_s, entry.token, entry.key))

    def _place(self, entry: _Entry, part: Part) -> None:
        self._serial += 1
        entry.token = self._serial
        entry.part = part
        self._entries[entry.key] = entry


def _concerning(entry: _Entry) -> Iterable[str]:
    return ("",) if entry.nodes is None else entry.nodes
