"""The high-water mark: how far a store had come, kept outside of it.

A log that is cut off, or whose last transaction broke, looks like one whose last transaction was
never finished. So a small file beside the store says which store it is and the last revision that
was acknowledged; a store that ends before its mark has lost something.

It is written after each commit and before its answer, without a sync: that survives the death of
the process. `sync` puts it on the disk, about once a second; after a power cut it may lag by that
much, never lead, so a crash alone never leaves a store behind its mark. It fits into one sector,
which a power cut leaves old or new (SQLite's log relies on the same).
"""

import os
from pathlib import Path
from zlib import crc32

import msgspec

from kubeherd.cluster.runtime.files import sync_directory

_TITLE = "kubeherd-mark 1"


class Mark(msgspec.Struct, frozen=True):
    """The store with this id has acknowledged all revisions up to this one."""

    store_id: int
    revision: int


def encode(mark: Mark) -> bytes:
    """One line of fixed length with a checksum at its end."""
    return _Line(mark.store_id).of(mark.revision)


class _Line:
    """The line of a store, of which only the revision changes."""

    def __init__(self, store_id: int) -> None:
        self._begin = f"{_TITLE} {store_id & (1 << 64) - 1:016x} ".encode()
        self._begin_sum = crc32(self._begin)

    def of(self, revision: int) -> bytes:
        """The line with this revision."""
        digits = b"%020d" % revision
        return b"%b%b %08x\n" % (self._begin, digits, crc32(digits, self._begin_sum))


def decode(data: bytes) -> Mark | None:
    """The reverse of `encode`; None for anything that is not such a line, whole."""
    try:
        _, _, store_id, revision, _ = data.decode("ascii").split(" ")
        value = int(store_id, 16)
        mark = Mark(value - (1 << 64) if value >> 63 else value, int(revision))
    except ValueError:
        return None
    return mark if encode(mark) == data else None


class MarkFile:
    """The file of a store's mark, open for writing."""

    def __init__(self, path: Path, mark: Mark) -> None:
        """Write this mark, into the file of this store if it is there, else durably into a new one
        in its place. Raises OSError."""
        self._line = _Line(mark.store_id)
        old = decode(path.read_bytes()) if path.exists() else None
        if old is not None and old.store_id == mark.store_id:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            self.write(mark.revision)
        else:
            self._replace(path, mark)

    def _replace(self, path: Path, mark: Mark) -> None:
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        self._descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.write(mark.revision)
            self.sync()
            new.replace(path)
            sync_directory(path.parent)
        except BaseException:
            self.close()
            new.unlink(missing_ok=True)
            raise

    def write(self, revision: int) -> None:
        """Say that the store has acknowledged `revision`. Raises OSError."""
        os.pwrite(self._descriptor, self._line.of(revision), 0)

    def sync(self) -> None:
        """Put what was written on the disk. Raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._descriptor)
