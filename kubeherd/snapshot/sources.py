"""A file with the state of a cluster, whatever wrote it."""

import mmap
import sys
from pathlib import Path
from typing import Final

from kubeherd.snapshot import bbolt, dumps, etcdsnapshot, fileformat
from kubeherd.snapshot.bbolt import Buffer
from kubeherd.snapshot.model import Snapshot, SnapshotError

STDIN: Final = Path("-")
_SQLITE: Final = b"SQLite format 3\0"
_HEAD_BYTES: Final = 64


def read(path: Path) -> Snapshot:
    """The snapshot in a file of ours, a dump of kubectl or a snapshot of etcd; ``-`` is standard
    input. SnapshotError if it is none of them, not whole, or cannot be read."""
    name = "standard input" if path == STDIN else str(path)
    try:
        if path == STDIN:
            return _decoded(sys.stdin.buffer.read())
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                raise SnapshotError("is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _decoded(content)
    except SnapshotError as error:
        raise SnapshotError(f"{name} {error}") from None
    except OSError as error:
        raise SnapshotError(f"cannot read {name}: {error.strerror}") from None


def _decoded(data: Buffer) -> Snapshot:
    head = data[:_HEAD_BYTES]
    if head.startswith(fileformat.MAGIC):
        return fileformat.decode(data[:])
    if bbolt.is_bbolt(head):
        return etcdsnapshot.read(data)
    if head.startswith(_SQLITE):
        raise SnapshotError(
            "is a database of SQLite: put the store of a kubeherd cluster into its directory, and"
            " use `kubeherd snapshot save`"
        )
    return dumps.read(data[:])
