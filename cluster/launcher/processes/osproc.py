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
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() or not _responds(pid) else ProcessId(pid)
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else ProcessId(pid, int(fields[19]))


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
    wanted = f"{MARKER_VARIABLE}=".encode() + os.fsencode(directory)
    logs = directory / "logs"
    found: list[ProcessId] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.stat().st_uid != os.geteuid():
                continue  # root may read all, and anybody may set a variable
            process = identify(int(entry.name))
            if process is None:
                continue
            log = Path(str((entry / "fd" / "2").readlink()).removesuffix(_DELETED))
            if (
                log.parent == logs and (log.name != _SUPERVISOR_LOG or leads_session(process))
            ) or wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


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
