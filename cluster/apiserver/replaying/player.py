"""Plays a history into a store: up to a moment, and from there on at a speed.

The file is read once, as far as it is played; in memory are the state, and of the past what a store
keeps (20,000 events, 32 MiB). The clock of the server shows the time of the history.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver.replaying.filling import Filler
from kubeherd.cluster.apiserver.replaying.store import ReplayedStore
from kubeherd.cluster.runtime.clock import OffsetClock
from kubeherd.history import Began, Ended, Heartbeat, Leads, Record, Write
from kubeherd.history.files import HistoryError, read

_AT_ONCE: Final = 500
"""Records that are taken before others get their turn."""
_STORED: Final = (Write, Heartbeat, Leads)
"""Records of what has a revision."""


class Moment(msgspec.Struct, frozen=True):
    """Where in a history: after this revision, or at this time (seconds since the epoch); of
    neither: the end."""

    revision: int | None = None
    time: float | None = None


class Player:
    """`wind` to a moment, then perhaps `play`. HistoryError, OSError for a file that is none."""

    def __init__(self, path: Path, store: ReplayedStore, clock: OffsetClock) -> None:
        self._path = path
        self._records = read(path)
        self._filler = Filler(store)
        self._store = store
        self._clock = clock
        self._has_ended = False
        """The cluster was down when the last record was taken."""
        self._next: Record | None = None
        """Has been read, and not taken."""
        self._newest = 0
        """Of the revisions that were taken."""
        self.now = 0.0
        """The moment of the history, in seconds since the epoch."""

    async def wind(self, moment: Moment) -> None:
        """Take all up to a moment. HistoryError if that lies outside."""
        began = next(self._records, None)
        if not isinstance(began, Began):
            raise HistoryError(f"{self._path} is no history: it does not begin as one")
        if moment.revision is not None and moment.revision < began.revision:
            raise HistoryError(f"{self._path} begins with revision {began.revision}")
        if moment.time is not None and moment.time < began.at:
            raise HistoryError(f"{self._path} begins at {_shown(began.at)}")
        self._newest = began.revision
        self._take(began)
        for number, record in enumerate(self._records):
            if not _is_past(record, began) and _lies_after(record, moment):
                self._next = record
                break
            self._take(record)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._check_reached(moment)
        self._filler.settle()
        self.now = self.now if moment.time is None else moment.time
        self._show_time(0.0)

    async def play(self, speed: float) -> None:
        """Go on, `speed` times as fast as it was, to the end; then time stands still. The time
        between two lives of a cluster, in which there was nobody, is left out."""
        begin, began_s = self.now, self._clock.monotonic_s()
        self._show_time(speed)
        taken = 0
        for record in self._rest():
            if self._has_ended:
                begin += max(0.0, record.at - self.now)
                self.now = max(self.now, record.at)
                self._show_time(speed)
            due_s = (record.at - begin) / speed - (self._clock.monotonic_s() - began_s)
            is_same = isinstance(record, Write) and record.revision == self._store.revision
            if not is_same and (due_s > 0 or taken >= _AT_ONCE):
                self._filler.settle()
                await self._clock.sleep(max(0.0, due_s))
                taken = 0
            self._take(record)
            taken += 1
        self._filler.settle()
        self._show_time(0.0)

    def _rest(self) -> Iterator[Record]:
        if self._next is not None:
            yield self._next
            self._next = None
        yield from self._records

    def _take(self, record: Record) -> None:
        self._filler.take(record)
        self._has_ended = isinstance(record, Ended)
        self.now = max(self.now, record.at)
        if isinstance(record, _STORED):
            self._newest = max(self._newest, record.revision)

    def _check_reached(self, moment: Moment) -> None:
        if self._next is not None:
            return
        if moment.revision is not None and moment.revision > self._newest:
            raise HistoryError(f"{self._path} ends with revision {self._newest}")
        if moment.time is not None and moment.time > self.now:
            raise HistoryError(f"{self._path} ends at {_shown(self.now)}")

    def _show_time(self, speed: float) -> None:
        """The clock shows the moment, and from there on passes at this speed."""
        self._clock.show(datetime.fromtimestamp(self.now, UTC), speed)


def _is_past(record: Record, began: Began) -> bool:
    """Whether it tells of what was there when the history began."""
    return isinstance(record, _STORED) and record.revision <= began.revision


def _lies_after(record: Record, moment: Moment) -> bool:
    if moment.revision is not None:
        return isinstance(record, _STORED) and record.revision > moment.revision
    return moment.time is not None and record.at > moment.time


def _shown(at: float) -> str:
    return format_time(datetime.fromtimestamp(at, UTC))
