"""Histories in files: a line of JSON per record, which survives the death of its writer.

A torn last line, as a killed process leaves, is not a record, nor is the torn end of a compressed
file. Names that end with ``.gz`` are compressed. Files are made for their owner's eyes only, and
hold no values of Secrets.
"""

import gzip
import heapq
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Literal, cast

import msgspec
from msgspec.structs import replace

from kubeherd.history.records import FORMAT_VERSION, Began, Leads, Record, Write
from kubeherd.history.redaction import redacted

SUPERVISOR: Final = "history-supervisor.jsonl"
"""Processes and faults of a cluster, in its directory."""
_OF_API_SERVER: Final = re.compile(r"history(-apiserver-\d)?\.jsonl")

_decoder = msgspec.json.Decoder(Record)
_encoder = msgspec.json.Encoder()


class HistoryError(ValueError):
    """A file that is no history, or one of another version: one line for a person."""


def encode(record: Record) -> bytes:
    """A record as a line, without the values of Secrets."""
    return _encoder.encode(redacted(record)) + b"\n"


def create(path: Path) -> IO[bytes]:
    """A new file for the lines of a history, 0600. OSError if it cannot be written."""
    path.touch(0o600)
    return _open(path, "wb")


def write(path: Path, records: Iterable[Record]) -> None:
    """Write a whole history. OSError if it cannot be written."""
    with create(path) as file:
        for record in records:
            file.write(encode(record))


def read(path: Path) -> Iterator[Record]:
    """The records of a file, in order, as it was written. HistoryError, OSError."""
    with _open(path, "rb") as file:
        for number, line in enumerate(_lines(file, path), 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = _decoder.decode(line)
            except msgspec.DecodeError as error:
                raise HistoryError(f"{path}:{number}: {error}") from None
            if isinstance(record, Began) and record.version > FORMAT_VERSION:
                raise HistoryError(
                    f"{path} has version {record.version} of the format; this kubeherd reads "
                    f"{FORMAT_VERSION}"
                )
            yield record


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines as far as they can be had. HistoryError for what is not compressed as it says."""
    try:
        yield from file
    except EOFError:  # the writer was killed: the end of the stream is missing
        return
    except (gzip.BadGzipFile, zlib.error) as error:
        raise HistoryError(f"{path} cannot be decompressed: {error}") from None


def whole(path: Path) -> Iterator[Record]:
    """A history; of an API server's in a cluster's directory also what its supervisor wrote beside
    it, by time. HistoryError, OSError."""
    beside = path.with_name(SUPERVISOR)
    if not (_OF_API_SERVER.fullmatch(path.name) and beside.exists()):
        return read(path)
    both = heapq.merge(_monotone(read(path)), _monotone(read(beside)), key=lambda pair: pair[0])
    return (record for _, record in both)


class Tail:
    """A history that is still being written, read as it grows. One that was begun anew under the
    same name is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._inode = 0

    def read(self) -> Iterator[Record]:
        """What has been written since; nothing while there is no file. HistoryError."""
        try:
            with self._path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            try:
                yield _decoder.decode(line)
            except msgspec.DecodeError as error:
                raise HistoryError(f"{self._path}: {error}") from None


def merged(*histories: Iterable[Record]) -> Iterator[Record]:
    """The records of several writers of one run as one history, by time; what one wrote stays in
    its order, and writes and changes of leaders are in the order of their revisions: who starts
    late or is behind tells late of what has been over for long.

    Where several have told of one write, as API servers that share a store do, it is told once: as
    the one told it who knows its actor, and when the first one saw it.
    """
    timed = list(heapq.merge(*map(_monotone, histories), key=lambda pair: pair[0]))
    told: dict[tuple[int, str, str, str], Write | Leads] = {}
    for _, record in timed:
        if not isinstance(record, Write | Leads):
            continue
        known = told.setdefault(_key(record), record)
        if isinstance(known, Write) and isinstance(record, Write):
            told[_key(record)] = _known_by(known, record)
    stored = sorted(told.values(), key=lambda one: one.revision)
    others = (pair for pair in timed if not isinstance(pair[1], Write | Leads))
    whole = heapq.merge(_monotone(stored), others, key=lambda pair: pair[0])
    return (record for _, record in whole)


def _known_by(known: Write, again: Write) -> Write:
    """One write that two have told of."""
    if known.actor is not None or again.actor is None:
        return known
    return replace(again, at=known.at, restored=known.restored)


def _key(stored: Write | Leads) -> tuple[int, str, str, str]:
    if isinstance(stored, Leads):
        return stored.revision, "", stored.lease, stored.holder
    return stored.revision, stored.resource, stored.namespace, stored.name


def _monotone(records: Iterable[Record]) -> Iterator[tuple[float, Record]]:
    latest = float("-inf")
    for record in records:
        latest = max(latest, record.at)
        yield latest, record


def _open(path: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, mode)) if path.suffix == ".gz" else path.open(mode)
