"""Processes of the operating system, named by pid and start time.

A pid alone may have been given to somebody else since it was written down; together with the
start time it cannot. Invariant: no signal is sent to a process whose start time differs from the
one that was recorded.
"""

import contextlib
import os
import signal
from pathlib import Path

import msgspec

MARKER_VARIABLE = "KUBEHERD_RUN_DIR"
"""In the environment of an executed process of a cluster: its directory, so that none gets lost."""
_SUPERVISOR_LOG = "supervisor.log"
_DELETED = " (deleted)"


class ProcessId(msgspec.Struct, frozen=True):
    """A process: its pid and its start time in clock ticks since boot (0 where unknown)."""

    pid: int
    start_ticks: int = 0


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if there is none (a zombie counts as none)."""
    try:
        text = _contents(f"/proc/{pid}/stat")
    except FileNotFoundError:
        return None if Path("/proc/self").exists() or not _responds(pid) else ProcessId(pid)
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else ProcessId(pid, int(fields[19]))


def alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs (or is frozen)."""
    return identify(process.pid) == process


def send_signal(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly this process; False if it is gone."""
    if not alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def marked(directory: Path) -> list[ProcessId]:
    """All processes of this user that carry the mark of the cluster in `directory`.

    The environment of executed ones says so. A forked one shows that of its parent for ever; its
    mark is that its standard error is a log of the cluster. The supervisor's log marks only the
    supervisor: the fork server that was forked with it writes there, too, and ends with it.
    """
    own = os.geteuid()
    found: list[ProcessId] = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - hundreds of processes, at each start
        if not entry.isdigit() or not _has_mark(int(entry), directory, own):
            continue
        process = identify(int(entry))
        if process is not None and _has_mark(process.pid, directory, own):
            found.append(process)  # looked at again: the pid might have been another's before
    return found


def _has_mark(pid: int, directory: Path, user: int) -> bool:
    """Whether the process of this pid is the user's and carries the mark of the cluster.

    Root may read all, and anybody may set a variable: hence the user.
    """
    proc, logs = f"/proc/{pid}", f"{directory}/logs/"
    with contextlib.suppress(OSError):
        if os.stat(proc).st_uid != user:  # noqa: PTH116 - as in marked
            return False
        log = os.readlink(f"{proc}/fd/2").removesuffix(_DELETED)  # noqa: PTH115
        name = log.removeprefix(logs)
        if name != log and "/" not in name and (name != _SUPERVISOR_LOG or os.getsid(pid) == pid):
            return True
        mark = f"{MARKER_VARIABLE}=".encode() + os.fsencode(directory)
        return mark in _contents(f"{proc}/environ").split(b"\0")
    return False


def _contents(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as in marked
        return file.read()


def leads_session(process: ProcessId) -> bool:
    """Whether the process is the first of a session of its own: of a cluster's, the supervisor."""
    try:
        return os.getsid(process.pid) == process.pid
    except OSError:
        return False


def _responds(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
