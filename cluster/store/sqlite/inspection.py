"""Whether the files of a store hold all that was acknowledged: decided before SQLite opens them.

SQLite repairs what it opens: it forgets a log from its first broken frame on, copies the rest into
the database and removes it, even when it is closed because of an error. So the files are read as
bytes, the log is applied to the database in memory (`wal`), and only that image is
given to SQLite. Nothing here writes anything.

An image counts if SQLite finds its pages in order, every row has its checksum and the seal fits
(`schema`); a store is whole if that is so, its log has no hole and it reaches its
mark (`mark`). What a crash can leave is whole: an unfinished last transaction, pages
of the log half copied into the database (all of them are still in the log), a mark that is behind.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import msgspec

from kubeherd.cluster.store.engine import FIRST_REVISION, Row, StoreError
from kubeherd.cluster.store.sqlite import mark, schema, wal
from kubeherd.cluster.store.sqlite.mark import Mark
from kubeherd.cluster.store.sqlite.wal import Buffer

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_PAGE_SIZE_AT = 16
_FORMATS_AT = 18
_ROLLBACK, _WRITE_AHEAD = b"\1\1", b"\2\2"
_FIXED_AT, _FIXED = 20, b"\0\x40\x20\x20"  # no reserved bytes; payload fractions
_USER_VERSION_AT = 60
_APPLICATION_ID_AT = 68
_META_KEYS = {1: {"compacted"}, schema.SCHEMA_VERSION: {"compacted", "id", "seal"}}


class Damaged(Exception):
    """Why an image cannot be the content of a store, on one line."""

    def __init__(self, why: str) -> None:
        words = " ".join(why.removeprefix("*** in database main ***").split())
        super().__init__("".join(c if c.isprintable() else "?" for c in words))


class Contents(msgspec.Struct, frozen=True):
    """All that a store holds; `sum_of_rows` in the checksums of the newest schema."""

    version: int
    meta: dict[str, int]
    rows: list[Row]
    sum_of_rows: int

    @property
    def compacted(self) -> int:
        return self.meta["compacted"]

    @property
    def revision(self) -> int:
        """The last revision that the store has reached."""
        last = self.rows[-1].revision if self.rows else 0
        return max(FIRST_REVISION, self.compacted, last)


class Finding(msgspec.Struct, frozen=True):
    """What was found in the files.

    `problem` is empty if the store is whole. Otherwise `contents` is the best state that can be
    read whole all the same, if there is one, and `needs_log` whether any of it is in the log.
    """

    problem: str
    contents: Contents | None = None
    needs_log: bool = False


def inspect(path: Path, database: Buffer, log: Buffer, marked: bytes | None) -> Finding:
    """Judge the bytes of the database at `path`, its log, and its mark (None: there is none).

    StoreError if the file is not a store, or is one of a newer kubeherd.
    """
    try:
        page_size = _check_header(path, database)
    except Damaged as damaged:
        return Finding(str(damaged))
    found = wal.read(log, page_size)
    try:
        contents = read(path, wal.apply(database, log, found, page_size))
    except Damaged as damaged:
        return _without_log(path, database, str(damaged)) if log else Finding(str(damaged))
    problem = _mark_problem(path, contents, marked)
    if found.broken:
        problem = f"its log {path.name}-wal is broken"
    return Finding(problem, contents, needs_log=bool(found.pages))


def _without_log(path: Path, database: Buffer, problem: str) -> Finding:
    try:
        return Finding(problem, read(path, bytearray(database)))
    except Damaged:
        return Finding(problem)


def _mark_problem(path: Path, contents: Contents, marked: bytes | None) -> str:
    name = f"{path.name}-mark"
    if marked is None:
        return "" if contents.version == 1 else f"{name}, which tells how far it got, is missing"
    found = mark.decode(marked)
    if found is None:
        return f"{name} is not readable"
    if contents.version > 1 and found.store_id != contents.meta["id"]:
        return f"{name} is of another store"
    if found.revision > contents.revision:
        return f"it had reached revision {found.revision} and ends at {contents.revision}"
    return ""


def _check_header(path: Path, database: Buffer) -> int:
    """The page size. What is looked at here never changes in the life of a store, so the file
    itself must have it even where the log holds a newer first page."""
    if len(database) < _HEADER_BYTES or database[: len(_MAGIC)] != _MAGIC:
        raise Damaged("not an SQLite file")
    page_size = int.from_bytes(database[_PAGE_SIZE_AT:_FORMATS_AT], "big")
    page_size = 1 << 16 if page_size == 1 else page_size
    formats = database[_FORMATS_AT : _FORMATS_AT + 2]
    fixed = database[_FIXED_AT : _FIXED_AT + len(_FIXED)]
    if page_size < 512 or page_size & (page_size - 1):
        raise Damaged("its page size is none")
    if formats not in (_ROLLBACK, _WRITE_AHEAD) or fixed != _FIXED:
        raise Damaged("its header is wrong")
    if _number(database, _APPLICATION_ID_AT) != schema.APPLICATION_ID:
        raise StoreError(f"{path} is not a kubeherd store; choose another directory")
    return page_size


def read(path: Path, image: bytearray) -> Contents:
    """All of a database image that has no log. Damaged if any of it is not as it was written.

    StoreError if it is of a newer kubeherd.
    """
    version = _number(image, _USER_VERSION_AT)
    if version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer kubeherd (schema {version}, this one knows"
            f" {schema.SCHEMA_VERSION}); upgrade kubeherd"
        )
    if version not in _META_KEYS:
        raise Damaged(f"there is no schema {version}")
    image[_FORMATS_AT : _FORMATS_AT + 2] = _ROLLBACK  # memory has no log
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.deserialize(image)
            del image  # it was copied, and may be large
            return _read(connection, version)
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
        raise Damaged(str(error)) from error


def _read(connection: sqlite3.Connection, version: int) -> Contents:
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise Damaged(problem)
    if connection.execute(schema.SELECT_SCHEMA).fetchall() != schema.SCHEMA:
        raise Damaged("its tables are not those of a store")
    meta = dict(connection.execute(schema.SELECT_META))
    if set(meta) != _META_KEYS[version] or not all(isinstance(v, int) for v in meta.values()):
        raise Damaged("the compacted revision is missing")
    sums = _Sums(version)
    rows = list(sums.checked(connection.execute(schema.SELECT_ROWS)))
    contents = Contents(version, meta, rows, sums.total)
    if version > 1 and meta["seal"] != schema.seal(sums.total, meta["id"], meta["compacted"]):
        raise Damaged("rows are missing, or are of another time")
    return contents


class _Sums:
    """Adds up the checksums of rows while it checks them."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.total = 0

    def checked(self, rows: sqlite3.Cursor) -> Iterator[Row]:
        for revision, created, deleted, resource, namespace, name, stored, value in rows:
            checksum = schema.row_checksum(
                revision, created, deleted, resource, namespace, name, value
            )
            if stored != (crc32(value) if self._version == 1 else checksum):
                raise Damaged(f"wrong checksum at revision {revision}")
            self.total += checksum
            yield Row(revision, created, bool(deleted), resource, namespace, name, value)


def after_loss(contents: Contents, marked: Mark | None, skipped: int) -> Contents:
    """The same objects without a past, `skipped` revisions above all that were ever given out."""
    latest = {(row.resource_key, row.namespace, row.name): row for row in contents.rows}
    rows = sorted((row for row in latest.values() if not row.deleted), key=lambda row: row.revision)
    reached = max(contents.revision, marked.revision if marked is not None else 0)
    meta = {**contents.meta, "compacted": reached + skipped}
    return msgspec.structs.replace(contents, meta=meta, rows=rows, sum_of_rows=schema.sum_of(rows))


def _number(header: Buffer | bytearray, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")
