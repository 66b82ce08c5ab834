"""The tables of a store file, and the checksums that make its content whole.

`log` has a row for each kept revision, with a checksum over all its columns. `meta` has the number
of the newest compacted revision, a random id of the store, and the seal: the sum of all rows'
checksums and of one over the other two. A page that was swapped for an older version of itself, a
row that went missing or came back: the seal does not fit. Version 1 had neither id nor seal, and
checksums over the value only.
"""

import sqlite3
from collections.abc import Iterable
from zlib import crc32

from kubeherd.cluster.store.engine import Row

APPLICATION_ID = 0x6B686431
"""Marks the file as kubeherd's ("khd1")."""
SCHEMA_VERSION = 2

LOG_TABLE = """CREATE TABLE log (
      revision INTEGER PRIMARY KEY,
      create_revision INTEGER NOT NULL,
      deleted INTEGER NOT NULL,
      resource TEXT NOT NULL,
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      checksum INTEGER NOT NULL,
      value BLOB NOT NULL
    )"""
META_TABLE = "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
SCHEMA = [("table", "log", "log", LOG_TABLE), ("table", "meta", "meta", META_TABLE)]

SELECT_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
SELECT_META = "SELECT key, value FROM meta"
SELECT_ROWS = (
    "SELECT revision, create_revision, deleted, resource, namespace, name, checksum, value"
    " FROM log ORDER BY revision"
)
INSERT_ROW = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DELETE_ROWS = "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))"
SUM_OF_ROWS = (
    "SELECT coalesce(sum(checksum), 0) FROM log WHERE revision IN (SELECT value FROM json_each(?))"
)
SET_SEAL = "UPDATE meta SET value = ? WHERE key = 'seal'"
TOUCH = "UPDATE meta SET value = value + 1 WHERE key = 'compacted'"
"""Makes a transaction write: SQLite leaves out an update that changes nothing."""
_SET_META = "REPLACE INTO meta VALUES ('compacted', ?), ('id', ?), ('seal', ?)"
_UPGRADE = (
    "UPDATE log SET checksum = row_checksum"
    "(revision, create_revision, deleted, resource, namespace, name, value)"
)

Values = tuple[int, int, int, str, str, str, int, bytes]


def values(row: Row) -> Values:
    """A row as `INSERT_ROW` takes it."""
    revision, created, deleted = row.revision, row.create_revision, int(row.deleted)
    key = (revision, created, deleted, row.resource_key, row.namespace, row.name)
    return (*key, row_checksum(*key, row.value), row.value)


def row_checksum(
    revision: object,
    create_revision: object,
    deleted: object,
    resource: object,
    namespace: object,
    name: object,
    value: bytes,
) -> int:
    """CRC-32 over all columns, their types included. TypeError if the value is not bytes."""
    key = f"{revision} {create_revision} {deleted} {resource} {namespace} {name} "
    return crc32(value, crc32(key.encode()))


def seal(sum_of_rows: int, store_id: int, compacted: int) -> int:
    """The seal over rows whose checksums have this sum, and the rest of `meta`."""
    return sum_of_rows + crc32(f"{store_id} {compacted}".encode())


def set_meta(
    connection: sqlite3.Connection, *, sum_of_rows: int, store_id: int, compacted: int
) -> None:
    """Write `meta`, seal included."""
    sealed = seal(sum_of_rows, store_id, compacted)
    connection.execute(_SET_META, (compacted, store_id, sealed))


def new_id(connection: sqlite3.Connection) -> int:
    """A random id for a store."""
    store_id: int = connection.execute("SELECT random()").fetchone()[0]
    return store_id


def create(connection: sqlite3.Connection) -> int:
    """Make the tables of an empty store; returns the id that it got."""
    store_id = new_id(connection)
    connection.execute(LOG_TABLE)
    connection.execute(META_TABLE)
    set_meta(connection, sum_of_rows=0, store_id=store_id, compacted=0)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    return store_id


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring rows of version 1 to this one; `set_meta` has to follow in the same transaction."""
    connection.create_function("row_checksum", 7, row_checksum, deterministic=True)
    connection.execute(_UPGRADE)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def sum_of(rows: Iterable[Row]) -> int:
    """The sum of the rows' checksums."""
    return sum(values(row)[6] for row in rows)
