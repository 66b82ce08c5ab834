"""A file of JSON lines that only its user can read, bounded by rotation."""

import os
from pathlib import Path

import structlog

MAX_BYTES = 64 * 1024 * 1024
"""A file that has reached this gets the next number, and a new one begins."""
OLD_FILES = 3

_log = structlog.get_logger(__name__)


class LogFile:
    """Appends lines to `path`; older ones are in `path`.1, .2 and so on.

    A disk that refuses them loses events, not requests: it is said once until it works again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = self._open()
        self._size_bytes = os.fstat(self._descriptor).st_size
        self._failing = False

    def append(self, line: bytes) -> None:
        """Write one line, given with its newline."""
        try:
            if self._size_bytes and self._size_bytes + len(line) > MAX_BYTES:
                self._rotate()
            self._size_bytes += os.write(self._descriptor, line)
        except OSError as error:
            if not self._failing:
                _log.error("audit_event_lost", error=str(error))
            self._failing = True
            return
        self._failing = False

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._descriptor)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._path, flags, 0o600)

    def _rotate(self) -> None:
        for number in range(OLD_FILES, 0, -1):
            newer = self._numbered(number - 1) if number > 1 else self._path
            if newer.exists():
                newer.replace(self._numbered(number))
        os.close(self._descriptor)
        self._descriptor = self._open()
        self._size_bytes = 0

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
