"""Three hosts on one machine: network namespaces on a switch, each with one cable that can be out.

Needs the rights of root. All of it is gone when the block is left; nothing is added to the network
of the machine itself.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kills.netns import enter, ip, namespaces

T = TypeVar("T")

KUBEHERD = (sys.executable, "-P", "-m", "kubeherd.cluster.cli.main")


class Host:
    """One of them; `address` is its own on the network of the three."""

    def __init__(self, namespace: str, switch: str, cable: str, address: str) -> None:
        self.namespace = namespace
        self.address = address
        self._switch = switch
        self._cable = cable

    def kubeherd(self, directory: Path, *args: str) -> str:
        """What a command prints that is typed there; its errors fail the test."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *KUBEHERD, *args],
            env={**os.environ, "KUBEHERD_DIR": str(directory)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, call: Callable[[], T]) -> T:
        """Call something whose sockets are this host's."""

        with ThreadPoolExecutor(1, initializer=enter, initargs=(self.namespace,)) as thread:
            return thread.submit(call).result()

    def cable(self, state: str) -> None:
        """`down`: the cable is out; `up`: it is in again."""
        ip("-n", self._switch, "link", "set", self._cable, state)


@contextmanager
def three_hosts() -> Iterator[tuple[Host, Host, Host]]:
    """The hosts, at 10.77.0.1 to 10.77.0.3."""
    prefix = f"kubeherd-{os.getpid()}"
    switch = f"{prefix}-switch"
    hosts = [f"{prefix}-{number}" for number in (1, 2, 3)]
    with namespaces([switch, *hosts]):
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        first, second, third = (_plugged(name, switch, n) for n, name in enumerate(hosts, 1))
        yield first, second, third


def _plugged(namespace: str, switch: str, number: int) -> Host:
    cable, address = f"port{number}", f"10.77.0.{number}"
    ip("-n", switch, "link", "add", cable, "type", "veth", "peer", "eth0", "netns", namespace)
    ip("-n", switch, "link", "set", cable, "master", "br0", "up")
    ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
    ip("-n", namespace, "link", "set", "eth0", "up")
    return Host(namespace, switch, cable, address)
