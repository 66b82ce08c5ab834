"""The file of a history that one process writes, an API server or a supervisor, over all its lives.

Invariants: what was flushed survives the death of the process, and a whole line is never taken
back, for somebody may have read it; a line that a dead process left half written goes; the file has
a bound, at which it ends with a record that says so. What cannot be written ends the recording,
never the process.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from kubeherd.history import Began, Ended, Heartbeat, Leads, Record, Step, Write
from kubeherd.history.files import HistoryError, encode

MAX_BYTES = 1024 * 1024 * 1024
STOPPED: Final = "recording-stopped"
"""The step with which a file ends that has reached its bound."""

_BEGINNING = b'{"is":"began",'
_BLOCK_BYTES = 1024 * 1024

_log = structlog.get_logger(__name__)
_decoder = msgspec.json.Decoder(Record)


class RecordFile:
    """See the module. Nothing is told before `open`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._size = 0
        self.began = False
        """Whether it holds a history already, which goes on."""
        self.revision = 0
        """That of the newest write in it."""

    def open(self) -> None:
        """Go on where the file ends, or begin one. OSError; HistoryError if it is another file."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        file = self._file = os.fdopen(descriptor, "r+b")
        if not _BEGINNING.startswith(head := file.read(len(_BEGINNING))):
            self._close()
            raise HistoryError(f"{self.path} is no history: it begins with {head!r}")
        length = file.seek(0, os.SEEK_END)
        self._size = _whole_lines(file, length)
        stopped = self._look_back(file)
        if self._size < length:
            file.truncate(self._size)
        if stopped:
            self._close()

    def _look_back(self, file: BinaryIO) -> bool:
        """Find the newest write; whether the file has reached its bound."""
        stopped = False
        for line in _lines_backwards(file, self._size):
            record = _decoder.decode(line)
            self.began = True
            stopped = stopped or (isinstance(record, Step) and record.name == STOPPED)
            if isinstance(record, (Began, Write, Leads, Heartbeat)):
                self.revision = record.revision
                break
        return stopped

    def begin_anew(self) -> None:
        """Put the history aside, under the same name and ``.1``, and begin another. OSError."""
        self._close()
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self.began, self.revision = False, 0
        self.open()

    def tell(self, record: Record) -> None:
        """Add a record; it is safe after `flush`."""
        if self._file is None:
            return
        line = encode(record)
        full = self._size + len(line) > self._max_bytes
        if full:
            text = f"the file has reached its {self._max_bytes} bytes; what follows is not recorded"
            line = encode(Step(at=record.at, name=STOPPED, text=text))
        try:
            self._file.write(line)
            self._size += len(line)
        except OSError as error:
            self._give_up(error)
        if full:
            _log.warning("recording_stopped", file=str(self.path), bytes=self._size)
            self._close()

    def flush(self) -> None:
        """What was told survives the death of this process."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            self._give_up(error)

    def close(self, at: float, revision: int) -> None:
        """The run has ended as it should, at this revision; another life may take it up again."""
        self.tell(Ended(at=at, revision=revision))
        self._close()

    def _give_up(self, error: OSError) -> None:
        _log.error("recording_failed", file=str(self.path), error=error.strerror)
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _log.error("recording_failed", file=str(self.path), error=error.strerror)


def _whole_lines(file: BinaryIO, end: int) -> int:
    """The size of a file of `end` bytes without a last line that is not whole."""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _lines_backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines of the first `end` bytes, which are whole, the last one first."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(end - start) + rest
        lines = block.splitlines(keepends=True)
        first = 1 if start > 0 else 0
        yield from reversed(lines[first:])
        rest = lines[0] if first else b""
        end = start
