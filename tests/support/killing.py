"""kill -9 for a test that looks at once at what is left."""

import signal
import time
from pathlib import Path

from patience import PATIENCE_S

from kubeherd.cluster.launcher.processes import osproc


def kill_and_wait(*processes: osproc.ProcessId) -> None:
    """SIGKILL; returns when they have ended: on a busy machine the kernel takes its time."""
    for process in processes:
        osproc.send_signal(process, signal.SIGKILL)
    deadline_s = time.monotonic() + PATIENCE_S
    while not all(map(_ended, processes)):
        assert time.monotonic() < deadline_s, "it lives on"
        time.sleep(0.001)


def _ended(process: osproc.ProcessId) -> bool:
    """With all its threads: as long as one is left, its files are open and its locks are held."""
    if osproc.alive(process):
        return False
    try:
        return len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1
    except OSError:
        return True
