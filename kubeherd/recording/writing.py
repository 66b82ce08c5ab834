"""The file into which a run is recorded, as it happens.

Invariants: what was written a second ago is readable, whatever becomes of this process, also in a
compressed file; what cannot be written ends the recording, and is said once.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kubeherd.history import Record
from kubeherd.history.files import create, encode

FLUSH_S: Final = 1.0
"""How old what is lost with the process can be, in real seconds."""


class Writing:
    """A history that grows. Use `writing`."""

    def __init__(self, path: Path) -> None:
        self._file = create(path)
        self.count = 0
        """Records that were written."""
        self.failure = ""
        """Why no more can be written."""
        self.failed = asyncio.Event()

    def tell(self, record: Record) -> None:
        """Add a record; without effect after a failure."""
        if self.failure:
            return
        try:
            self._file.write(encode(record))
            self.count += 1
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        """What was told survives this process."""
        try:
            if not self.failure:
                self._file.flush()
        except OSError as error:
            self._fail(error)

    async def keep_flushing(self) -> None:
        """For ever; the owner cancels it."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()

    def close(self) -> None:
        """Whatever can still be written is."""
        try:
            self._file.close()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error.strerror or str(error)
        self.failed.set()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writing]:
    """A new history at this path, closed at the end; OSError if it cannot be made."""
    file = Writing(path)
    try:
        yield file
    finally:
        file.close()
