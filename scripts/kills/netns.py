"""Network namespaces of Linux, by iproute2 and the rights of root: hosts on one machine."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_NAMED = Path("/run/netns")
_OWN = Path("/proc/thread-self/ns/net")


def ip(*args: str) -> None:
    """Run `ip`. OSError, subprocess.CalledProcessError."""
    subprocess.run(["ip", *args], capture_output=True, text=True, check=True)


def impossible() -> str:
    """Why there cannot be any such hosts here, "" if there can."""
    name = f"kubeherd-try-{os.getpid()}"
    try:
        with namespaces([name]):
            ip("-n", name, "link", "add", "br0", "type", "bridge")
            ip("-n", name, "link", "add", "one", "type", "veth", "peer", "two")
            ip("-n", name, "rule", "add", "iif", "one", "blackhole")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces: {getattr(error, 'stderr', '') or error}".strip()
    return ""


@contextmanager
def namespaces(names: Sequence[str]) -> Iterator[None]:
    """Namespaces of these names, with nothing but a loopback that is up."""
    with ExitStack() as made:
        for name in names:
            made.callback(_delete, name)
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        yield


def _delete(name: str) -> None:
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def enter(name: str) -> None:
    """Let this thread's new sockets, and the processes that it starts, be there. OSError."""
    with (_NAMED / name).open() as file:
        _enter(file.fileno())


@contextmanager
def entered(name: str) -> Iterator[None]:
    """`enter`, until the block is left."""
    with _OWN.open() as before:
        enter(name)
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
