"""A snapshot as a file: version 1 of the format (docs/reference/snapshots.md). Pure.

A gzip file of JSON lines: the header (`_Header`), a line per object (`model.Entry`), and the end
(`_End`), which has the counts and the SHA-256 of all lines before it. So a file that was cut short
has no end, and one that was changed has another sum. gzip's own CRC is checked as well.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.version import KUBERNETES_VERSION
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, counted

MAGIC: Final = b"\x1f\x8b"
"""What a file of gzip begins with."""
FORMAT: Final = "kubeherd-snapshot"
VERSION: Final = 1
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""An object has 1.5 MiB at most; a dump of something else may have more."""
_LEVEL: Final = 6


class _Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    format: str
    version: int
    kubeherd: str
    kubernetes: str
    origin: Origin
    revision: int
    saved: str
    settings: JsonObject | None = None
    notes: tuple[str, ...] = ()


class _Title(msgspec.Struct, frozen=True):
    """The part of the header that every version has."""

    format: str
    version: int


class _End(msgspec.Struct, frozen=True):
    objects: int
    counts: dict[str, int]
    sha256: str


def encode(snapshot: Snapshot) -> bytes:
    """The bytes of the file: the same for the same snapshot."""
    packed = io.BytesIO()
    digest = hashlib.sha256()
    header = _Header(
        format=FORMAT,
        version=VERSION,
        kubeherd=snapshot.saved_by,
        kubernetes=KUBERNETES_VERSION,
        origin=snapshot.origin,
        revision=snapshot.revision,
        saved=snapshot.saved,
        settings=snapshot.settings,
        notes=tuple(snapshot.notes),
    )
    with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as file:
        for part in (header, *snapshot.entries):
            line = msgspec.json.encode(part) + b"\n"
            digest.update(line)
            file.write(line)
        end = _End(len(snapshot.entries), dict(counted(snapshot.entries)), digest.hexdigest())
        file.write(msgspec.json.encode(end) + b"\n")
    return packed.getvalue()


def decode(data: bytes) -> Snapshot:
    """The reverse of `encode`. SnapshotError for anything that is not a whole snapshot; its text
    follows on the name of the file."""
    lines = _lines(data)
    first = next(lines, b"")
    header = _header(first)
    digest = hashlib.sha256(first)
    entries: list[Entry] = []
    pending = next(lines, b"")
    for line in lines:
        digest.update(pending)
        entries.append(_entry(pending, len(entries) + 2))
        pending = line
    _check_end(pending, entries, digest.hexdigest())
    return Snapshot(
        origin=header.origin,
        revision=header.revision,
        entries=entries,
        saved=header.saved,
        saved_by=header.kubeherd,
        settings=header.settings,
        notes=header.notes,
    )


def _lines(data: bytes) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise SnapshotError("is damaged: one of its lines is too long")
                yield line
    except EOFError:
        raise SnapshotError(_CUT_SHORT) from None
    except (OSError, zlib.error) as error:
        raise SnapshotError(f"is damaged: {error}") from None


_CUT_SHORT: Final = "is not complete: its end is missing"


def _header(line: bytes) -> _Header:
    try:
        title = msgspec.json.decode(line, type=_Title)
    except (msgspec.DecodeError, UnicodeDecodeError):
        title = _Title("", 0)
    if title.format != FORMAT:
        raise SnapshotError("is not a snapshot of kubeherd")
    if title.version != VERSION:
        raise SnapshotError(
            f"has version {title.version} of the format, and this kubeherd knows version {VERSION}"
            " only: use the kubeherd that wrote it, or a newer one"
        )
    try:
        return msgspec.json.decode(line, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"is damaged: its header is not readable ({error})") from None


def _entry(line: bytes, number: int) -> Entry:
    try:
        entry = msgspec.json.decode(line, type=Entry)
        entry = msgspec.structs.replace(entry, object=entry.object.copy())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"is damaged: line {number} is not readable ({error})") from None
    return entry


def _check_end(line: bytes, entries: list[Entry], sha256: str) -> None:
    try:
        end = msgspec.json.decode(line, type=_End)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SnapshotError(_CUT_SHORT) from None
    if end != _End(len(entries), dict(counted(entries)), sha256):
        raise SnapshotError("was changed after it was written, or is damaged: its checksum differs")
