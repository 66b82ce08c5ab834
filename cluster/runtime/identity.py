"""Who holds a lease: an identity that another process on the same machine can check for life.

`<host>_<boot and pid namespace>-<pid>-<start time>`: a pid alone would be used again. Invariant:
`is_dead` is true only when the process certainly is gone, and `is_alive` when it is there (or
frozen); of an identity of another machine, or one that cannot be read, neither is said.
"""

import os
import socket
from pathlib import Path

_ZOMBIE = "Z"


def hostname() -> str:
    """This machine's name, as Kubernetes' components put it into events and leases."""
    return socket.gethostname()


def own_identity() -> str:
    """The identity of this process."""
    pid = os.getpid()
    return f"{hostname()}_{_machine()}-{pid}-{_start_time(pid) or '0'}"


def is_dead(identity: str) -> bool:
    """Whether the identity belongs to a process of this machine that no longer exists."""
    process = process_of(identity)
    return process is not None and _start_time(process[0]) != str(process[1])


def is_alive(identity: str) -> bool:
    """Whether the identity belongs to a process of this machine that still exists."""
    process = process_of(identity)
    return process is not None and _start_time(process[0]) == str(process[1])


def process_of(identity: str) -> tuple[int, int] | None:
    """The pid and the start time (clock ticks since boot) of a process of this machine, or None."""
    machine, _, process = identity.rpartition("_")[2].partition("-")
    pid, _, start_time = process.partition("-")
    if not machine or machine != _machine() or not pid.isdigit() or not start_time.isdigit():
        return None
    return int(pid), int(start_time)


def _machine() -> str:
    """Boot and pid namespace, "" where the system does not tell (then nobody is called dead)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return boot[:12] + "".join(char for char in namespace if char.isdigit())


def _start_time(pid: int) -> str | None:
    """Clock ticks from boot to the start of a process; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == _ZOMBIE else fields[19]
