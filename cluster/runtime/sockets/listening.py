"""Listening sockets, and how several processes come to accept from one.

Who made the socket gives it away on a Unix socket that only its user can open, to whoever connects.
All who have it wait at the same queue: a connection goes to a process that is awake and takes it,
and what waits while all are dead or frozen is not lost, for the socket outlives them.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from kubeherd.cluster.runtime.sockets.unixsockets import bound_socket, forget, socket_address

_BACKLOG = 1024
_ASKING = 64
_TAKE_TIMEOUT_S = 10.0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address and does not block; port 0 picks a free one. OSError."""
    listener = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=host == "::",
    )
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def given_away(path: Path, listener: socket.socket) -> AsyncIterator[None]:
    """While the body runs, give this socket to whoever connects to `path`. OSError if nobody could
    connect there."""
    loop = asyncio.get_running_loop()
    asked = bound_socket(path)
    asked.setblocking(False)
    asked.listen(_ASKING)

    def give() -> None:
        with contextlib.suppress(OSError):  # who asked has gone
            client, _address = asked.accept()
            with client:
                socket.send_fds(client, [b"\n"], [listener.fileno()])

    loop.add_reader(asked, give)
    try:
        yield
    finally:
        loop.remove_reader(asked)
        asked.close()
        forget(path)


def taken(path: Path) -> socket.socket:
    """The socket that is given away at `path`. OSError if nobody gives one."""
    with socket.socket(socket.AF_UNIX) as asking, socket_address(path) as address:
        asking.settimeout(_TAKE_TIMEOUT_S)
        asking.connect(address)
        _, descriptors, _, _ = socket.recv_fds(asking, 1, 1)
    if not descriptors:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    os.set_inheritable(descriptors[0], False)
    return socket.socket(fileno=descriptors[0])
