"""Addresses of Unix sockets, whose length the kernel limits."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_SUN_PATH_LIMIT = 100


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address for a Unix socket; a path too long for one goes through /proc/self/fd."""
    if len(os.fsencode(path)) < _SUN_PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
