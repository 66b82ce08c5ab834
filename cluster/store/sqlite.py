"""The SQLite engine: one table that is a log of revisions, as etcd keeps them.

Invariants: a group of writes is one transaction with full sync, off the event loop in a thread
that owns the connection; the file is locked for as long as it is open, so two API servers never
share it; a file that is not ours, is newer than this code or is broken is refused and left as it
is. Rows that are superseded and no longer in the history are deleted as the history moves on.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cluster.store.engine import Row, StoreError

APPLICATION_ID = 0x6B686431
"""Marks the file as kubeherd's ("khd1")."""
SCHEMA_VERSION = 1
_MAGIC = b"SQLite format 3\0"

_SCHEMA = """
CREATE TABLE log (
  revision INTEGER PRIMARY KEY,
  create_revision INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  resource TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 0);
"""

T = TypeVar("T")


class SqliteEngine:
    """See `cluster.store.engine.Engine`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> int:
        try:
            return self._open()
        except sqlite3.OperationalError as error:
            self._abandon()
            if "locked" in str(error):
                raise StoreError(
                    f"{self.path} is in use by another API server; stop it first"
                ) from error
            raise StoreError(
                f"cannot open the store {self.path}: {error}; check that the directory exists and"
                " can be written"
            ) from error
        except (sqlite3.DatabaseError, OSError) as error:
            self._abandon()
            raise StoreError(self._broken(str(error))) from error

    def _open(self) -> int:
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        if is_new:
            self.path.touch(mode=0o600)
        else:
            with self.path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise StoreError(self._broken("not an SQLite file"))
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0.5
        )
        self._connection = connection
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        if not is_new:
            self._check_identity(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")  # takes the exclusive lock and keeps it
        try:
            if is_new or not _scalar(connection, "PRAGMA user_version"):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            compacted = _scalar(connection, "SELECT value FROM meta WHERE key = 'compacted'")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        return compacted

    def _check_identity(self, connection: sqlite3.Connection) -> None:
        application_id = _scalar(connection, "PRAGMA application_id")
        version = _scalar(connection, "PRAGMA user_version")
        if application_id == 0 and version == 0:
            tables = _scalar(connection, "SELECT count(*) FROM sqlite_master")
            if tables == 0:
                return  # created, but killed before the schema was written
        if application_id != APPLICATION_ID:
            self._abandon()
            raise StoreError(f"{self.path} is not a kubeherd store; choose another directory")
        if version > SCHEMA_VERSION:
            self._abandon()
            raise StoreError(
                f"{self.path} was written by a newer kubeherd (schema {version}, this one knows"
                f" {SCHEMA_VERSION}); upgrade kubeherd"
            )

    def replay(self) -> Iterator[Row]:
        connection = self._require()
        try:
            cursor = connection.execute(
                "SELECT revision, create_revision, deleted, resource, namespace, name, value"
                " FROM log ORDER BY revision"
            )
            for revision, created, deleted, resource, namespace, name, value in cursor:
                yield Row(revision, created, bool(deleted), resource, namespace, name, value)
        except sqlite3.DatabaseError as error:
            raise StoreError(self._broken(str(error))) from error

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        await self._in_thread(lambda: self._commit(rows, drop, compacted))

    def _commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        connection = self._require()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row.revision,
                        row.create_revision,
                        row.deleted,
                        row.resource_key,
                        row.namespace,
                        row.name,
                        row.value,
                    )
                    for row in rows
                ],
            )
            if drop:
                connection.executemany(
                    "DELETE FROM log WHERE revision = ?", [(revision,) for revision in drop]
                )
                connection.execute(
                    "UPDATE meta SET value = ? WHERE key = 'compacted'", (compacted,)
                )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(f"cannot write to the store {self.path}: {error}") from error

    async def close(self) -> None:
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

    def _broken(self, why: str) -> str:
        return (
            f"the store {self.path} is damaged ({why}); nothing was changed: restore a copy,"
            " or move it away to start with an empty cluster"
        )


def _scalar(connection: sqlite3.Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
