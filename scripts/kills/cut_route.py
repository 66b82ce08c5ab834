"""Ways to an etcd that is on another host, behind a router that loses packets when it is told to.

    this thread's namespace --- router --- etcd's namespace
          10.77.0.1                        10.77.1.1 for the first server, 10.77.1.2, ..., and
                                           10.77.1.100 for who asks what really happened

What is cut is not refused and not answered: packets vanish, in one direction or both. So nobody is
told; the servers' kernel sends again, later and later, and goes on sending for a while after the
way is mended, as with a real network.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kills import netns
from kills.cut_link import Direction
from kills.netns import ip

_UNCUT = "10.77.1.100"
_AT_ONCE_S = 1.0


class Route:
    """A `kills.cut_link.Link` to one of etcd's addresses."""

    def __init__(self, router: str, far: str, address: str, port: int) -> None:
        self.url = f"http://{address}:{port}"
        self._router = router
        self._far = far
        self._address = address
        self._cut = Direction(0)

    def cut(self, directions: Direction) -> None:
        """As `Link.cut`."""
        for direction in directions & ~self._cut:
            self._rule("add", direction)
        self._cut |= directions

    def mend(self) -> None:
        """As `Link.mend`; what was lost comes when it is sent again."""
        for direction in self._cut:
            self._rule("del", direction)
        self._cut = Direction(0)

    def reset(self) -> None:
        """As `Link.reset`: etcd's host forgets; while the way is cut, the server is not told."""
        _forget(self._far, self._address)

    def _rule(self, what: str, direction: Direction) -> None:
        there = direction is Direction.THERE
        where = ("iif", "servers", "to") if there else ("iif", "etcd", "from")
        ip("-n", self._router, "rule", what, *where, self._address, "blackhole")


class Routes:
    """All of them."""

    def __init__(self, router: str, far: str, count: int) -> None:
        self._router = router
        self._far = far
        self._each = [f"10.77.1.{number}" for number in range(1, count + 1)]
        self.addresses: Sequence[str] = (_UNCUT, *self._each)
        """etcd's; the first is never cut off."""
        self.prefix: Sequence[str] = ("ip", "netns", "exec", far)
        """What starts a process on its host."""

    def links(self, port: int) -> Sequence[Route]:
        """One for each server."""
        return [Route(self._router, self._far, address, port) for address in self._each]

    def lay(self, near: str) -> None:
        """Lay the cables."""
        for host, inner, first in ((near, "servers", "10.77.0.1"), (self._far, "etcd", _UNCUT)):
            gateway = f"{first.rpartition('.')[0]}.254"
            end = ("peer", "eth0", "netns", host)
            ip("-n", self._router, "link", "add", inner, "type", "veth", *end)
            ip("-n", self._router, "address", "add", f"{gateway}/24", "dev", inner)
            ip("-n", self._router, "link", "set", inner, "up")
            ip("-n", host, "address", "add", f"{first}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "route", "add", "default", "via", gateway)
        for address in self._each:
            ip("-n", self._far, "address", "add", f"{address}/24", "dev", "eth0")
        with netns.entered(self._router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _forget(host: str, address: str) -> None:
    """Let a host end the connections of one of its addresses."""
    kill = ("ss", "--kill", "--no-header", "src", address)
    subprocess.run(["ip", "netns", "exec", host, *kill], capture_output=True, check=True)


def impossible() -> str:
    """Why there cannot be any such ways here, "" if there can."""
    if why := netns.impossible():
        return why
    name = f"kubeherd-try-{os.getpid()}"
    with (
        netns.namespaces([name]),
        netns.entered(name),
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near,
    ):
        near.settimeout(_AT_ONCE_S)
        try:
            _forget(name, "127.0.0.1")
            near.recv(1)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            return f"no connection can be reset: {error}"
        except TimeoutError:
            return "this kernel does not end connections for others (INET_DIAG_DESTROY)"
        except ConnectionError:
            pass  # it was
    return ""


@contextmanager
def routed(count: int) -> Iterator[Routes]:
    """So many ways, on which this thread's new sockets and processes are until the block is left.

    Nothing is added to the network of the machine itself. OSError, subprocess.CalledProcessError
    where that is not possible (`impossible`).
    """
    prefix = f"kubeherd-{os.getpid()}"
    near, router, far = names = [f"{prefix}-{what}" for what in ("servers", "router", "etcd")]
    with netns.namespaces(names):
        routes = Routes(router, far, count)
        routes.lay(near)
        with netns.entered(near):
            yield routes
