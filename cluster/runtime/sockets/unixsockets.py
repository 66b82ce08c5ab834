"""Unix sockets: addresses, whose length the kernel limits, and listening for one user only."""

import contextlib
import os
import socket
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


def bound_socket(path: Path) -> socket.socket:
    """A socket bound to `path` that only its user may open; what a killed predecessor left is
    replaced. OSError if it cannot be made."""
    forget(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    return listener


def forget(path: Path) -> None:
    """Nobody listens there any more."""
    path.unlink(missing_ok=True)
