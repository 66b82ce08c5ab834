"""From the messages of a watch to what is known to have happened up to a revision. Pure.

Invariants: the events of one revision are handed on together, though a large message comes in
fragments; nothing is handed on twice; the revision never goes back.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.sharedengine import Progress


class KeyValue(Protocol):
    """etcd's ``mvccpb.KeyValue``."""

    key: bytes
    create_revision: int
    mod_revision: int
    value: bytes


class Event(Protocol):
    """etcd's ``mvccpb.Event``; `type` 0 is a put, 1 a delete."""

    type: int
    kv: KeyValue
    prev_kv: KeyValue


ToRow = Callable[[Event], Row | None]
"""The row of an event; None for what is no object."""


class Grouping:
    """Takes messages in the order in which they come. `after`: what is known already."""

    def __init__(self, after: int, to_row: ToRow) -> None:
        self.revision = after
        """All that happened up to it was handed on."""
        self._to_row = to_row
        self._held: list[Row] = []
        self._held_revision = 0

    def events(self, events: Iterable[Event], *, fragment: bool) -> Progress | None:
        """A message with events; `fragment`: more of it is to come. None: nothing is complete."""
        rows, self._held = self._held, []
        last = self._held_revision
        begin = 0  # of the rows of the newest revision
        for event in events:
            revision = event.kv.mod_revision
            if revision != last:
                last, begin = revision, len(rows)
            row = self._to_row(event)
            if row is not None:
                rows.append(row)
        if not fragment:
            self._held_revision = 0
            return self._up_to(last, rows)
        self._held, self._held_revision = rows[begin:], last
        return self._up_to(last - 1, rows[:begin])

    def nothing(self, revision: int) -> Progress | None:
        """A message that nothing else happened up to `revision`; None if that is no news."""
        if self._held_revision or revision <= self.revision:
            return None
        return self._up_to(revision, [])

    def _up_to(self, revision: int, rows: list[Row]) -> Progress | None:
        if revision <= self.revision:
            return None
        self.revision = revision
        return Progress(revision, rows)
