"""Stopping the processes of a cluster whose supervisor is gone.

They are found by pid and start time in state.json and by the mark in their environment, and
stopped in the usual order: agents, controller manager, API server. A supervisor whose directory was
deleted or moved away is an orphan itself.
"""

import signal
import time
from collections.abc import Sequence

from kubeherd.cluster.launcher import state
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.osproc import ProcessId

GRACE_S = 5.0
_LOOK_INTERVAL_S = 0.02


def stop_orphans(rundir: RunDir) -> int:
    """Stop every process of this cluster that still runs; returns how many there were.

    Call it only with the lock of the run directory held: otherwise they are no orphans.
    """
    return _stop_groups(state.orphans(rundir))


def stop_strays(rundir: RunDir) -> int:
    """Stop what runs in the name of a directory that has no lock; returns how many there were.

    A cluster that runs has a lock, so these have lost their directory.
    """
    groups = state.orphans(rundir)
    if rundir.lock.exists():
        return 0  # a cluster was started meanwhile: they may be its own
    return _stop_groups(groups)


def _stop_groups(groups: Sequence[Sequence[ProcessId]]) -> int:
    for group in groups:
        _stop(group)
    return sum(len(group) for group in groups)


def _stop(group: Sequence[ProcessId]) -> None:
    for number, grace_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        for process in group:
            osproc.send_signal(process, number)
            osproc.send_signal(process, signal.SIGCONT)
        deadline_s = time.monotonic() + grace_s
        while any(osproc.alive(process) for process in group):
            if time.monotonic() > deadline_s:
                break
            time.sleep(_LOOK_INTERVAL_S)
        else:
            return
