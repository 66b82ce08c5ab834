"""The SQLite engine: one table that is a log of revisions, as etcd keeps them.

Invariants: a group of writes is one transaction, whose full sync happens in a thread, off the event
loop; a write counts as acknowledged once its COMMIT returned, and the mark beside the store says so
before its writer hears it; the file is locked for as long as it is open, so two API servers never
share it. SQLite opens the files only after they were found whole (`inspection`): a
store that is not ours, newer than this code, or damaged is refused and every file of it left as it
is. Rows that are superseded and no longer in the history are deleted as the history moves on; the
revision up to which that happened is kept with them, so the counter never goes back even if the
newest row is among the deleted.

Somebody may accept the loss of what came after a revision. Then the damaged files are copied aside,
the state of that revision goes on without a past, and its revisions go on far above all that can
have been given out: nobody who saw a lost one takes another for it, and who watches from before is
told to list again (410). etcd is restored the same way (`etcdutl snapshot restore
--bump-revision 1000000000 --mark-compacted`).

A commit that fails is one of two things. If SQLite could not write all of it (the disk is full, a
limit or a quota is reached) it is not in the log: the log's last frame says that the transaction
is complete, every frame carries a checksum, and a frame that was not written whole has a wrong one.
That is a clean refusal, and the engine goes on. Anything else, a failed sync above all, leaves a
transaction that is invisible to this connection but whole in the log, where the next one to open
the file finds it, or not, if the machine stops first; and the kernel counts pages that it could not
write as written, so a repeated sync proves nothing. The engine says that it does not know
(`OutcomeUnknown`) and is done: its process ends, as PostgreSQL's does, and the next one takes for
true what it reads, after it has written and synced that log anew (`_rewrite_log`). So a running
server never shows a state that a restart would take back.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from kubeherd.cluster.runtime.workthread import WorkThread
from kubeherd.cluster.store.engine import OutcomeUnknown, Row, StoreError
from kubeherd.cluster.store.sqlite import inspection, mark, schema
from kubeherd.cluster.store.sqlite.files import StoreFiles, in_use
from kubeherd.cluster.store.sqlite.inspection import Contents, Finding
from kubeherd.cluster.store.sqlite.mark import Mark, MarkFile

SKIPPED_AFTER_LOSS = 1_000_000_000
MARK_SYNC_INTERVAL_S = 1.0
"""Real seconds; see `mark`."""

_NOT_WRITTEN = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
"""Errors of a COMMIT that could not write all its frames (SQLite's os_unix.c, unixWrite)."""

_REWRITE_BYTES = 1024 * 1024

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class SqliteEngine:
    """See `cluster.store.engine.Engine`. The directory of `path` must exist.

    `accept_loss_after`: the revision that a refusal named, to go on from there. It does nothing
    for a store that is whole, or that ends at another revision.
    """

    def __init__(self, path: Path, accept_loss_after: int | None = None) -> None:
        self.path = path
        self._files = StoreFiles(path)
        self._accept_loss_after = accept_loss_after
        self._connection: sqlite3.Connection | None = None
        self._thread: WorkThread | None = None
        self._mark: MarkFile | None = None
        self._mark_synced_s = 0.0
        self._rows: Sequence[Row] = ()
        self._store_id = 0
        self._compacted = 0
        self._sum_of_rows = 0

    def open(self) -> int:
        """As `Engine.open`; creates the file if there is none."""
        try:
            if not self.path.exists():
                self._files.create()
            with self._files.locked(), self._files.read() as found:
                finding = inspection.inspect(self.path, *found)
                contents = self._accepted(finding)
                lost = self._set_aside(finding, contents) if finding.problem else False
            self._connect(contents, lost=lost)
            self._rewrite_log()
        except StoreError:
            self._abandon()
            raise
        except sqlite3.Error as error:
            self._abandon()
            if "locked" in str(error):
                raise in_use(self.path) from error
            raise self._unusable(str(error)) from error
        except OSError as error:
            self._abandon()
            raise self._unusable(error.strerror or str(error)) from error
        return self._compacted

    def _accepted(self, finding: Finding) -> Contents:
        """The contents to go on with. StoreError if the store is refused."""
        contents = finding.contents
        if contents is None:
            raise self._damaged(finding.problem)
        if finding.problem and contents.revision != self._accept_loss_after:
            raise self._damaged(finding.problem, contents.revision)
        return contents

    def _set_aside(self, finding: Finding, contents: Contents) -> bool:
        """Keep the files as they are; then drop a log of which nothing can be used."""
        place = self._files.set_aside(contents.revision)
        _log.warning(
            "loss_accepted",
            problem=finding.problem,
            revision=contents.revision,
            damaged_files=str(place),
        )
        if not finding.needs_log:
            self._files.log.unlink(missing_ok=True)
        return True

    def _connect(self, contents: Contents, *, lost: bool) -> None:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0.5
        )
        self._connection = connection
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")  # pages, about 16 MB
        # Some builds (Debian's) overwrite what is deleted with zeros: each page would be written
        # once more when it is freed, and the log keeps what was in it all the same.
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("BEGIN IMMEDIATE")  # takes the exclusive lock, which then stays
        if dict(connection.execute(schema.SELECT_META)) != contents.meta:
            raise in_use(self.path)  # somebody wrote since it was inspected
        self._store_id = schema.new_id(connection) if contents.version == 1 else contents.meta["id"]
        if lost:
            contents = self._give_up_the_rest(connection, contents)
        else:
            self._mark = MarkFile(self._files.mark, Mark(self._store_id, contents.revision))
        if contents.version < schema.SCHEMA_VERSION:
            schema.upgrade(connection)
        self._rows, self._sum_of_rows = contents.rows, contents.sum_of_rows
        self._compacted = contents.compacted
        if lost or contents.version < schema.SCHEMA_VERSION:
            schema.set_meta(
                connection,
                sum_of_rows=self._sum_of_rows,
                store_id=self._store_id,
                compacted=self._compacted,
            )
        connection.execute("COMMIT")
        if lost:  # not before: a mark of the old end would hide the loss from the next start
            self._mark = MarkFile(self._files.mark, Mark(self._store_id, contents.revision))
        self._thread = WorkThread("sqlite")

    def _give_up_the_rest(self, connection: sqlite3.Connection, contents: Contents) -> Contents:
        marked = mark.decode(self._files.read_mark() or b"")
        kept = inspection.after_loss(contents, marked, SKIPPED_AFTER_LOSS)
        past = {row.revision for row in contents.rows} - {row.revision for row in kept.rows}
        connection.execute(schema.DELETE_ROWS, (json.dumps(sorted(past)),))
        return kept

    def replay(self) -> Iterator[Row]:
        """As `Engine.replay`."""
        rows, self._rows = self._rows, ()
        return iter(rows)

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        """As `Engine.commit`.

        Rows are added here, which only fills SQLite's page cache; what waits for the disk is done
        in the thread, in as few calls as possible: after each of them the thread has to get the
        interpreter lock back from a busy event loop, which costs more than adding a row.
        """
        values = [schema.values(row) for row in rows]
        sum_of_rows = self._sum_of_rows + sum(value[6] for value in values)
        with self._transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if rows:
                connection.executemany(schema.INSERT_ROW, values)
            else:
                connection.execute(schema.TOUCH)
            if not drop:
                self._seal(connection, sum_of_rows, compacted, anew=not rows)
        now_s = asyncio.get_running_loop().time()
        await self._in_thread(lambda: self._finish(drop, sum_of_rows, compacted, now_s))
        if rows and self._mark is not None:
            with contextlib.suppress(OSError):  # a mark that is behind loses nothing
                self._mark.write(rows[-1].revision)

    def _finish(self, drop: Sequence[int], sum_of_rows: int, compacted: int, now_s: float) -> None:
        with self._transaction() as connection:
            if drop:
                dropped = json.dumps(drop)
                sum_of_rows -= connection.execute(schema.SUM_OF_ROWS, (dropped,)).fetchone()[0]
                connection.execute(schema.DELETE_ROWS, (dropped,))
                self._seal(connection, sum_of_rows, compacted, anew=True)
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", None) not in _NOT_WRITTEN:
                    raise OutcomeUnknown(self._unwritable(error)) from error
                raise
            self._sum_of_rows, self._compacted = sum_of_rows, compacted
        self._sync_mark(now_s)

    def _seal(
        self, connection: sqlite3.Connection, sum_of_rows: int, compacted: int, *, anew: bool
    ) -> None:
        """Write the seal; `anew`: the rest of `meta` too, which a probe has touched."""
        if compacted == self._compacted and not anew:
            sealed = schema.seal(sum_of_rows, self._store_id, compacted)
            connection.execute(schema.SET_SEAL, (sealed,))
        else:
            schema.set_meta(
                connection, sum_of_rows=sum_of_rows, store_id=self._store_id, compacted=compacted
            )

    def _sync_mark(self, now_s: float) -> None:
        """Put the mark of the commits before this one on the disk, if that is due."""
        if self._mark is not None and now_s - self._mark_synced_s >= MARK_SYNC_INTERVAL_S:
            self._mark_synced_s = now_s
            with contextlib.suppress(OSError):
                self._mark.sync()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One part of a transaction, which is rolled back if it fails. Raises as `commit`."""
        connection = self._require()
        try:
            yield connection
        except sqlite3.Error as error:
            if connection.in_transaction:
                self._roll_back(connection)
            raise self._unwritable(error) from error

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:  # whatever this connection holds now, it is not the file
            raise OutcomeUnknown(self._unwritable(error)) from error

    def _rewrite_log(self) -> None:
        """Make durable what was just read, before anybody is shown it.

        A log that a process left behind may be in the kernel's memory only: it was killed before
        its sync, or the sync failed and the kernel took the pages for written. Writing the same
        bytes in place makes it write them again, needs no space, and is safe to break off.
        """
        log = self._files.log
        if not log.exists() or not log.stat().st_size:
            return
        try:
            with log.open("r+b", buffering=0) as file:
                at = 0
                while block := os.pread(file.fileno(), _REWRITE_BYTES, at):
                    at += os.pwrite(file.fileno(), block, at)
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._thread is not None:
            await self._in_thread(self._abandon)
            self._thread.close()
            self._thread = None

    def _abandon(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._mark is not None:
            with contextlib.suppress(OSError):
                self._mark.sync()
            self._mark.close()
            self._mark = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"the store {self.path} is closed")
        return await self._thread.run(work)

    def _require(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the store {self.path} is closed")
        return self._connection

    def _damaged(self, why: str, readable: int | None = None) -> StoreError:
        """The refusal; `readable`: the revision up to which the store can be read whole."""
        name = self.path.name
        way_out = f"or move {name}* away to start with an empty cluster"
        if readable is not None:
            way_out = (
                f"or `kubeherd up --accept-loss-after {readable}` goes on without what came after"
                f" revision {readable} and keeps the files of now in {self._files.aside(readable)}"
            )
        return StoreError(
            f"the store {self.path} is damaged ({why}); nothing was changed: put back a copy of"
            f" {name} and, if it had one, its {name}-wal (not {name}-mark, which tells whether the"
            f" copy is too old), {way_out}"
        )

    def _unwritable(self, error: Exception) -> StoreError:
        return StoreError(f"cannot write to the store {self.path}: {error}")

    def _unusable(self, why: str) -> StoreError:
        return StoreError(
            f"cannot open the store {self.path}: {why}; check that its directory exists and can be"
            " written"
        )
