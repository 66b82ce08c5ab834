"""Three hosts on one machine: network namespaces on a switch, each with one cable that can be out.

Needs the rights of root. All of it is gone when the block is left; nothing is added to the network
of the machine itself.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

KUBEHERD = (sys.executable, "-P", "-m", "kubeherd.cluster.cli.main")
_CLONE_NEWNET = 0x40000000


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

        def enter() -> T:
            with Path("/run/netns", self.namespace).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return call()

        with ThreadPoolExecutor(1) as thread:  # it ends, and its namespace with it
            return thread.submit(enter).result()

    def cable(self, state: str) -> None:
        """`down`: the cable is out; `up`: it is in again."""
        _ip("-n", self._switch, "link", "set", self._cable, state)


def impossible() -> str:
    """Why there cannot be any such hosts here, "" if there can."""
    name = f"kubeherd-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "br0", "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces: {getattr(error, 'stderr', '') or error}".strip()
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return ""


@contextmanager
def three_hosts() -> Iterator[tuple[Host, Host, Host]]:
    """The hosts, at 10.77.0.1 to 10.77.0.3."""
    prefix = f"kubeherd-{os.getpid()}"
    switch = f"{prefix}-switch"
    made: list[str] = []
    try:
        for number in range(4):
            made.append(f"{prefix}-{number}" if number else switch)
            _ip("netns", "add", made[-1])
            _ip("-n", made[-1], "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        first, second, third = (_plugged(made[n], switch, n) for n in (1, 2, 3))
        yield first, second, third
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _plugged(namespace: str, switch: str, number: int) -> Host:
    cable, address = f"port{number}", f"10.77.0.{number}"
    _ip("-n", switch, "link", "add", cable, "type", "veth", "peer", "eth0", "netns", namespace)
    _ip("-n", switch, "link", "set", cable, "master", "br0", "up")
    _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", namespace, "link", "set", "eth0", "up")
    return Host(namespace, switch, cable, address)


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], capture_output=True, text=True, check=True)
