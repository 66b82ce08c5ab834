"""Earlier moments of a herd: what it looked like, its timeline, and its objects as they were.

Two archives, bounded in bytes: records as slim as a herd needs them, each part with the herd at its
beginning, so that any moment is that herd and a part's records at most; and whole objects.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec

from kubeherd.dashboard.past import archive
from kubeherd.dashboard.past.archive import Archive, Reading
from kubeherd.dashboard.past.slim import LEASES, kept, slim
from kubeherd.dashboard.views import NEWS
from kubeherd.herd.herd import Herd
from kubeherd.herd.saving import restored, saved
from kubeherd.history import Record, Request, Told, Verb, Write
from kubeherd.history.records import Object
from kubeherd.timeline.model import Painter, Picture

LIVE_BYTES: Final = 2 * 1024 * 1024
"""Of each archive of a cluster that lives."""
HISTORY_BYTES: Final = 256 * 1024 * 1024
MAX_PAINTED_BYTES: Final = 8 * archive.PART_BYTES
"""So many bytes of records are drawn at once, the newest."""


_decode: Final = msgspec.json.Decoder(Record).decode
_NOT_SHOWN: Final = (Request, Told)
"""What neither a herd nor a timeline takes an interest in, and of which there may be many."""
_NO_OBJECTS: Final = frozenset({LEASES, "events"})


class Forgotten(Exception):
    """A moment before the oldest that is known."""


class Drawn(Picture):
    """A picture, and when its time begins, in seconds since the epoch."""

    zero: float = 0.0


class Past(msgspec.Struct, frozen=True):
    """An object as it was; `gone`: its last state, for it was no more."""

    object: Object
    gone: bool


class Moments:
    """`shape` every write when it comes, `see` every record in order; ask for moments, and let a
    thread do what you get."""

    def __init__(self, limit: int = LIVE_BYTES) -> None:
        self._records = Archive(limit)
        self._objects = Archive(limit)
        self._encode = msgspec.json.Encoder().encode
        self._now = 0.0
        self._anew = True

    def anew(self) -> None:
        """The next record is the first of another herd."""
        self._anew = True

    def see(self, record: Record, before: Herd) -> None:
        """The next record, its object as `shape` made it, and the herd that has not seen it yet."""
        self._now = max(self._now, record.at)
        if isinstance(record, _NOT_SHOWN):
            return
        if self._anew or self._records.full:
            self._anew = False
            self._records.begin(self._now, saved(before, NEWS))
        self._records.add(self._encode(kept(record)) + b"\n")

    def shape(self, write: Write) -> Write:
        """Keep a whole object, and make it as slim as `see` wants it."""
        if write.resource not in _NO_OBJECTS:
            if self._objects.full:
                self._objects.begin(write.at, b"")
            self._objects.add(self._encode(write) + b"\n")
        return slim(write)

    @property
    def range(self) -> tuple[float, float]:
        """The oldest and the newest moment that are known."""
        return (self._records.oldest or self._now, self._now)

    def at(self, moment: float) -> Callable[[], Herd]:
        """Makes the herd at a moment. Forgotten."""
        part = self._records.part_at(moment)
        if part is None:
            raise Forgotten
        return partial(_herd, part, moment)

    def picture(self, since: float, until: float, title: str) -> Callable[[], Drawn]:
        """Draws the timeline between two moments, or as much of its end as is drawn at once."""
        parts = self._records.parts(since, MAX_PAINTED_BYTES)
        return partial(_drawn, parts, until, title)

    def object(
        self, resource: str, namespace: str, name: str, moment: float
    ) -> Callable[[], Past | None]:
        """Looks an object up as it was then; None if nothing is known of it."""
        parts = [one for one in self._objects.parts() if one.since <= moment]
        return partial(_past, parts, (resource, namespace, name), moment)

    def next_write(
        self, resource: str, namespace: str, name: str, moment: float
    ) -> Callable[[], Write | None]:
        """Looks up what was written of an object first after a moment; None for nothing."""
        return partial(_next, self._objects.parts(moment), (resource, namespace, name), moment)


def _herd(part: Reading, moment: float) -> Herd:
    herd = restored(part.head())
    for record in _records([part]):
        if record.at > moment:
            break
        herd.see(record)
    return herd


def _drawn(parts: Sequence[Reading], until: float, title: str) -> Drawn:
    painter, zero = Painter(), 0.0
    if parts:
        zero = parts[0].since
        painter.begin(restored(parts[0].head()), zero)
    for record in _records(parts):
        if record.at > until:
            break
        painter.see(record)
    return Drawn(**msgspec.structs.asdict(painter.picture(title)), zero=zero)


def _past(parts: Sequence[Reading], key: tuple[str, str, str], moment: float) -> Past | None:
    for part in reversed(parts):
        found: Write | None = None
        for write in _writes_of(key, part):
            if write.at > moment:
                break
            found = write
        if found is not None:
            return Past(found.object, found.verb is Verb.DELETE)
    return None


def _next(parts: Sequence[Reading], key: tuple[str, str, str], moment: float) -> Write | None:
    writes = (write for part in parts for write in _writes_of(key, part))
    return next((write for write in writes if write.at > moment), None)


def _writes_of(key: tuple[str, str, str], part: Reading) -> Iterator[Write]:
    wanted = msgspec.json.encode(key[2])
    for line in part.lines():
        if wanted not in line:  # most are of others: to decode them costs more than to look
            continue
        record = _decode(line)
        if isinstance(record, Write) and _key(record) == key:
            yield record


def _records(parts: Iterable[Reading]) -> Iterator[Record]:
    for part in parts:
        for line in part.lines():
            yield _decode(line)


def _key(write: Write) -> tuple[str, str, str]:
    return write.resource, write.namespace, write.name
