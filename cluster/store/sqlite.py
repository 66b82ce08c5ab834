"""The SQLite engine: one table that is a log of revisions, as etcd keeps them.

Invariants: a group of writes is one transaction, whose full sync happens in a thread, off the event
loop; the file is locked for as long as it is open, so two API servers never share it; a new file
appears whole or not at all; a file that is not ours, is newer than this code or is broken is
refused and left as it is. Rows that are superseded and no longer in the history are deleted as the
history moves on; the revision up to which that happened is kept with them, so the counter never
goes back even if the newest row is among the deleted.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from kubeherd.cluster.store.engine import Row, StoreError

APPLICATION_ID = 0x6B686431
"""Marks the file as kubeherd's ("khd1")."""
SCHEMA_VERSION = 1

_MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_USER_VERSION_AT = 60
_APPLICATION_ID_AT = 68

_CREATE = (
    """CREATE TABLE log (
      revision INTEGER PRIMARY KEY,
      create_revision INTEGER NOT NULL,
      deleted INTEGER NOT NULL,
      resource TEXT NOT NULL,
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      checksum INTEGER NOT NULL,
      value BLOB NOT NULL
    )""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('compacted', 0)",
    f"PRAGMA application_id={APPLICATION_ID}",
    f"PRAGMA user_version={SCHEMA_VERSION}",
)
_SELECT = (
    "SELECT revision, create_revision, deleted, resource, namespace, name, checksum, value"
    " FROM log ORDER BY revision"
)
_INSERT = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))"
_COMPACTED = "UPDATE meta SET value = ? WHERE key = 'compacted'"

T = TypeVar("T")


class SqliteEngine:
    """See `cluster.store.engine.Engine`. The directory of `path` must exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._compacted = 0

    def open(self) -> int:
        """As `Engine.open`; creates the file if there is none."""
        try:
            if not self.path.exists():
                self._create()
            self._check_header()
            return self._connect()
        except sqlite3.OperationalError as error:
            self._abandon()
            if "locked" in str(error):
                raise StoreError(
                    f"{self.path} is in use by another API server; stop it first"
                ) from error
            raise self._unusable(str(error)) from error
        except sqlite3.DatabaseError as error:
            self._abandon()
            raise self._damaged(str(error)) from error
        except OSError as error:
            self._abandon()
            raise self._unusable(error.strerror or str(error)) from error

    def _create(self) -> None:
        """Make an empty store beside the place and move it there whole, never over another."""
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists():
            raise StoreError(
                f"{self.path} is missing but its log {log.name} is there: restore {self.path.name},"
                " or move the log away to start with an empty cluster"
            )
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        try:
            new.touch(mode=0o600)
            connection = sqlite3.connect(new, isolation_level=None)
            try:
                connection.execute("BEGIN")
                for statement in _CREATE:
                    connection.execute(statement)
                connection.execute("COMMIT")
            finally:
                connection.close()
            self.path.hardlink_to(new)
        finally:
            new.unlink(missing_ok=True)

    def _check_header(self) -> None:
        """Refuse what is not ours before SQLite touches it (SQLite's file format, section 1.3)."""
        with self.path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
        if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
            raise self._damaged("not an SQLite file")
        if _number(header, _APPLICATION_ID_AT) != APPLICATION_ID:
            raise StoreError(f"{self.path} is not a kubeherd store; choose another directory")
        version = _number(header, _USER_VERSION_AT)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by a newer kubeherd (schema {version}, this one knows"
                f" {SCHEMA_VERSION}); upgrade kubeherd"
            )

    def _connect(self) -> int:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0.5
        )
        self._connection = connection
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")  # pages, about 16 MB
        connection.execute("BEGIN IMMEDIATE")  # takes the exclusive lock, which then stays
        compacted = connection.execute("SELECT value FROM meta WHERE key='compacted'").fetchone()
        connection.execute("COMMIT")
        if compacted is None:
            raise self._damaged("the compacted revision is missing")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._compacted = int(compacted[0])
        return self._compacted

    def replay(self) -> Iterator[Row]:
        """As `Engine.replay`."""
        connection = self._require()
        try:
            for row in connection.execute(_SELECT):
                revision, created, deleted, resource, namespace, name, checksum, value = row
                if crc32(value) != checksum:
                    raise self._damaged(f"wrong checksum at revision {revision}")
                yield Row(revision, created, bool(deleted), resource, namespace, name, value)
        except StoreError:
            self._abandon()
            raise
        except (sqlite3.DatabaseError, TypeError) as error:
            self._abandon()
            raise self._damaged(str(error)) from error

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        """As `Engine.commit`.

        Rows are added here, which only fills SQLite's page cache; what waits for the disk is done
        in the thread, in as few calls as possible: after each of them the thread has to get the
        interpreter lock back from a busy event loop, which costs more than adding a row.
        """
        with self._transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, map(_values, rows))
        await self._in_thread(lambda: self._finish(drop, compacted))

    def _finish(self, drop: Sequence[int], compacted: int) -> None:
        with self._transaction() as connection:
            if drop:
                connection.execute(_DELETE, (json.dumps(drop),))
            if compacted != self._compacted:
                connection.execute(_COMPACTED, (compacted,))
            connection.execute("COMMIT")
            self._compacted = compacted

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One part of a transaction, which is rolled back if it fails. Raises StoreError."""
        connection = self._require()
        try:
            yield connection
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(f"cannot write to the store {self.path}: {error}") from error

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._thread is not None:
            await self._in_thread(self._abandon)
            self._thread.shutdown(wait=True)
            self._thread = None

    def _abandon(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"the store {self.path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _require(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the store {self.path} is closed")
        return self._connection

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"the store {self.path} is damaged ({why}); nothing was changed: restore a copy,"
            " or move it away to start with an empty cluster"
        )

    def _unusable(self, why: str) -> StoreError:
        return StoreError(
            f"cannot open the store {self.path}: {why}; check that its directory exists and can be"
            " written"
        )


def _values(row: Row) -> tuple[int | str | bytes, ...]:
    return (
        row.revision,
        row.create_revision,
        row.deleted,
        row.resource_key,
        row.namespace,
        row.name,
        crc32(row.value),
        row.value,
    )


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")
