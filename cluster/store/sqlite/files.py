"""The files of a store: `store.db`, its log `-wal`, its mark `-mark`; made, read, set aside.

Invariants: reading changes nothing; a new store appears whole or not at all; every file is its
owner's only (0600). Functions raise OSError; those that judge raise StoreError.
"""

import fcntl
import mmap
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kubeherd.cluster.runtime.files import sync_directory
from kubeherd.cluster.store.engine import FIRST_REVISION, StoreError
from kubeherd.cluster.store.sqlite import mark, schema
from kubeherd.cluster.store.sqlite.mark import Mark, MarkFile
from kubeherd.cluster.store.sqlite.wal import Buffer

_LOCK_AT, _LOCK_BYTES = 0x40000002, 510
"""Where whoever has a database of SQLite open holds a lock (its file os.h, SHARED_FIRST)."""


class StoreFiles:
    """The files of the store at `path`; its directory must exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path.with_name(f"{path.name}-wal")
        self.mark = path.with_name(f"{path.name}-mark")
        self.journal = path.with_name(f"{path.name}-journal")

    def create(self) -> None:
        """Make an empty store, beside its place, and move it there whole, never over another.

        The mark goes first: a crash between leaves one that promises nothing.
        """
        self._check_nothing_is_left()
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        try:
            new.touch(mode=0o600)
            with closing(sqlite3.connect(new, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=OFF")  # it is synced once, below
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN")
                store_id = schema.create(connection)
                connection.execute("COMMIT")
            _sync(new)
            MarkFile(self.mark, Mark(store_id, FIRST_REVISION)).close()
            self.path.hardlink_to(new)
        finally:
            new.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _check_nothing_is_left(self) -> None:
        left = [self.log.name] if self.log.exists() else []
        marked = self.read_mark()
        if marked is not None:
            promise = mark.decode(marked)
            if promise is None or promise.revision > FIRST_REVISION:
                left.append(self.mark.name)
        if left:
            names = " and ".join(left)
            raise StoreError(
                f"{self.path} is missing but {names} {'are' if left[1:] else 'is'} there: put"
                f" {self.path.name} back, or move {names} away to start with an empty cluster"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from opening the store meanwhile, or StoreError if it is open."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_AT)
        except OSError as error:
            os.close(descriptor)
            raise in_use(self.path) from error
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def read(self) -> Iterator[tuple[Buffer, Buffer, bytes | None]]:
        """The database, its log (empty if there is none) and its mark (None if there is none).

        The first two are the pages of the files themselves: no copy of a large store is made.
        """
        if self.journal.exists() and self.journal.stat().st_size:
            raise StoreError(
                f"{self.journal} does not belong to a kubeherd store; nothing was changed: move it"
                " away"
            )
        with _mapped(self.path) as database, _mapped(self.log) as log:
            yield database, log, self.read_mark()

    def read_mark(self) -> bytes | None:
        """The bytes of the mark, None if there is none."""
        try:
            return self.mark.read_bytes()
        except FileNotFoundError:
            return None

    def aside(self, revision: int) -> Path:
        """The directory for the files of now when what came after `revision` is given up."""
        return self.path.with_name(f"{self.path.name}-damaged-{revision}")

    def set_aside(self, revision: int) -> Path:
        """Copy all files into a directory of that name or one like it; returns which one."""
        place = self.aside(revision)
        number = 1
        while place.exists():
            number += 1
            place = self.aside(revision).with_name(f"{self.aside(revision).name}.{number}")
        place.mkdir(mode=0o700)
        try:
            for file in (self.path, self.log, self.mark):
                if file.exists():
                    copy = place / file.name
                    copy.touch(mode=0o600)
                    shutil.copyfile(file, copy)
                    _sync(copy)
            sync_directory(place)
            sync_directory(self.path.parent)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return place


@contextmanager
def _mapped(path: Path) -> Iterator[Buffer]:
    if not path.exists() or path.stat().st_size == 0:
        yield b""
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        yield content


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def in_use(path: Path) -> StoreError:
    """The error of a store that another process has open."""
    return StoreError(f"{path} is in use by another API server; stop it first")
