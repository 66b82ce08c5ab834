"""Files as every process of a cluster opens them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOG_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
LOG_MODE: Final = 0o600
_FIRST_SPARE_FD: Final = 10


def open_log(path: str | Path) -> int:
    """Open a log for appending, private and never through a symbolic link. Raises OSError."""
    return os.open(path, LOG_FLAGS | os.O_CLOEXEC, LOG_MODE)


def sync_directory(directory: Path) -> None:
    """Make names that were added to or removed from a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def spare(descriptor: int) -> Iterator[int]:
    """A copy of a descriptor under a number that no child wants to have itself.

    What is handed to a child gets a low number there; ours may have just that number.
    """
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_FD)
    try:
        yield copy
    finally:
        os.close(copy)
