"""Sockets for aiohttp's clients on uvloop, each of which is closed once.

A connection that breaks in the moment in which it is made is closed by uvloop (0.23,
`create_connection` with `sock`) before it holds the socket for good: the socket then believes to be
open, and closes its number again when it is collected. By then that may be another connection's,
which ends in silence: its request is never answered. Loops of asyncio itself are not concerned.
"""

import socket
from typing import Any


class OnceClosed(socket.socket):
    """A socket that is closed by whoever closes it, not by being forgotten."""

    def __del__(self) -> None:
        self.detach()


def once_closed(address: "tuple[Any, ...]") -> socket.socket:
    """A socket for an address as of `getaddrinfo`; a `socket_factory` of aiohttp."""
    family, kind, protocol, *_ = address
    return OnceClosed(family=family, type=kind, proto=protocol)
