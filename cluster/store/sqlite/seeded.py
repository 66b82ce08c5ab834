"""A memory store that begins with what lies in a store file, each time anew; and how one is read.

The file is what an SQLite store was, or was restored to be (`kubeherd snapshot restore`). Nothing
here changes it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kubeherd.cluster.store.engine import MemoryEngine, Row, StoreError
from kubeherd.cluster.store.sqlite import inspection
from kubeherd.cluster.store.sqlite.files import StoreFiles
from kubeherd.cluster.store.sqlite.inspection import Contents


def contents(path: Path) -> Contents:
    """All that a store file holds. StoreError if it is damaged, in use, or cannot be read."""
    files = StoreFiles(path)
    try:
        with files.locked(), files.read() as found:
            finding = inspection.inspect(path, *found)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    if finding.problem or finding.contents is None:
        raise StoreError(f"the store {path} is damaged ({finding.problem}); nothing was changed")
    return finding.contents


class SeededEngine(MemoryEngine):
    """As `MemoryEngine`, but for its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: Sequence[Row] = ()

    def open(self) -> int:
        found = contents(self._path)
        self._rows = found.rows
        return found.compacted

    def replay(self) -> Iterator[Row]:
        rows, self._rows = self._rows, ()
        return iter(rows)
