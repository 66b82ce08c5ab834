"""The promises of watch, on what observers in a history were told.

`kubeherd.checks.watches` judges. Here the truth is known, by the writes; observers show only names
and revisions of objects.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

import msgspec

from kubeherd.checks.api.acknowledged import recorded
from kubeherd.checks.checker import NOTHING, Checker
from kubeherd.checks.live import Live
from kubeherd.checks.objects import key
from kubeherd.checks.watches import Promise, Verdict, verdicts
from kubeherd.checks.watchhistory import (
    Change,
    Event,
    History,
    Listing,
    Log,
    Selection,
    Shown,
    Start,
    Watch,
)
from kubeherd.history import Began, Ended, Record, Told, Verb, Violation, Write

_REMEMBERED: Final = 500_000
_CAUGHT_UP_S: Final = 5.0
"""So long before the end of a history an open watch must have told of a write."""


class _Heard:
    """What all observers were told, and what was written."""

    def __init__(self) -> None:
        self._began = 0
        self._writes: dict[str, list[Write]] = {}
        self._watches: dict[tuple[str, int], Watch] = {}
        self._open: set[tuple[str, int]] = set()
        self._told: dict[tuple[str, int], Told] = {}
        self._ended: Ended | None = None
        self._count = 0
        self._newest: Record | None = None
        self._verdicts: Mapping[Promise, Verdict] | None = None

    @property
    def first(self) -> Told | None:
        """The begin of the first watch; None if there was none."""
        return next(iter(self._told.values()), None)

    def take(self, record: Record) -> None:
        """Keep it for the end, unless it was just taken."""
        if record is self._newest:
            return
        self._newest = record
        if isinstance(record, Began):
            self._began = record.revision
        elif isinstance(record, Ended):
            self._ended = record
        elif isinstance(record, Write) and self._count < _REMEMBERED:
            self._count += 1
            light = msgspec.structs.replace(record, object={})
            self._writes.setdefault(record.resource, []).append(light)
        elif isinstance(record, Told) and self._count < _REMEMBERED:
            self._count += 1
            if recorded(record.resource, record.namespace):
                self._tell(record)

    def _tell(self, told: Told) -> None:
        which = (told.observer, told.watch)
        if told.type in ("BEGIN", "LIST"):
            start = Start.LIST if told.type == "LIST" else Start.RESUMED
            wanted = Selection(namespace=told.namespace)
            base = {name: _shown(name, at) for name, at in (told.objects or {}).items()}
            self._watches[which] = Watch(
                told.observer, told.resource, wanted, start, told.revision, base
            )
            self._watches[which].events = []
            self._open.add(which)
            self._told[which] = told
        elif which in self._watches:
            if told.type in ("END", "ERROR"):
                self._open.discard(which)
                return
            shown = _shown(key(told.namespace, told.name), told.revision, told.uid)
            type_ = Change(told.type)
            event = Event(type_, told.revision, None if type_ is Change.BOOKMARK else shown)
            self._watches[which].events.append(event)

    def verdict(self, promise: Promise) -> Verdict:
        """That on all watches; nothing may come after it."""
        if self._verdicts is None:
            self._catch_up()
            watches = [w for w in self._watches.values() if w.resource in self._writes]
            logs = {resource: self._log(resource) for resource in self._writes}
            history = History({r: log.start for r, log in logs.items()}, 0, watches=watches)
            self._verdicts = verdicts(history, logs)
        return self._verdicts[promise]

    def _catch_up(self) -> None:
        """What is open at the end must have told of all but the newest writes."""
        if self._ended is None:
            return
        latest = self._ended.at - _CAUGHT_UP_S
        for which in self._open:
            watch = self._watches[which]
            written = self._writes.get(watch.resource, [])
            watch.until = max((w.revision for w in written if w.at < latest), default=0)

    def _log(self, resource: str) -> Log:
        writes = self._writes[resource]
        start = {
            key(w.namespace, w.name): _shown(key(w.namespace, w.name), w.revision, w.uid)
            for w in writes
            if w.restored and w.revision <= self._began
        }
        told: Mapping[int, tuple[Change, Shown]] = {
            w.revision: (
                Change.DELETED if w.verb is Verb.DELETE else Change.MODIFIED,
                _shown(key(w.namespace, w.name), w.revision, w.uid),
            )
            for w in writes
        }
        return Log(Listing(self._began, start), told)


class WatchPromise(Checker):
    """One promise, on all watches of the history."""

    which: ClassVar[Promise]
    source = "API concepts: Efficient detection of changes, Watch bookmarks; etcd: Watch APIs"

    def __init__(self) -> None:
        super().__init__()
        self._heard = _Heard()
        self._own = True

    def share(self, live: Live, others: Sequence[Checker]) -> None:
        """What one of these keeps does for all."""
        for other in others:
            if isinstance(other, WatchPromise):
                self._heard, self._own = other._heard, False
                return

    def looks_at(self, write: Write) -> bool:
        """Only the first."""
        return self._own and self.minds(write.resource)

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep it for the end."""
        self._heard.take(record)
        return NOTHING

    def end(self) -> Iterator[Violation]:
        """Judge all watches."""
        first = self._heard.first
        if first is None:
            return
        verdict = self._heard.verdict(self.which)
        self.looked_at += verdict.checked
        for text in verdict.broken:
            yield self.violation(first, text)


def _shown(name: str, revision: int, uid: str = "") -> Shown:
    return Shown(name, revision, uid, {}, {}, "")


class WatchOrdered(WatchPromise):
    """Order."""

    name = "watch-ordered"
    promise = "A watch tells of changes in the order of their revisions."
    which = Promise.ORDERED


class WatchUnique(WatchPromise):
    """No repetition."""

    name = "watch-unique"
    promise = "A watch tells of no change twice."
    which = Promise.UNIQUE


class WatchReliable(WatchPromise):
    """No gap."""

    name = "watch-reliable"
    promise = "A watch leaves no change out between the first and the last of which it tells."
    which = Promise.RELIABLE


class WatchResumable(WatchPromise):
    """Going on."""

    name = "watch-resumable"
    promise = "A watch that goes on after a revision begins with the first change after it."
    which = Promise.RESUMABLE


class WatchBookmarkable(WatchPromise):
    """Bookmarks."""

    name = "watch-bookmarkable"
    promise = "A bookmark comes when all changes up to its revision have been told, and never back."
    which = Promise.BOOKMARKABLE


class WatchAtomic(WatchPromise):
    """Whole states."""

    name = "watch-atomic"
    promise = "What a watch tells was written, and the list before it is the state of one revision."
    which = Promise.ATOMIC


class WatchTyped(WatchPromise):
    """Types of events."""

    name = "watch-typed"
    promise = "A watch says ADDED of what is new, MODIFIED of what was there, DELETED of what goes."
    which = Promise.FILTER
