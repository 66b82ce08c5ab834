"""Asking the supervisor of a cluster for faults: for commands and programs. Everything blocks.

LauncherError if it cannot be done; then nothing is.
"""

from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.faults import Fault
from kubeherd.faults.fault import decode_all, encode_all

ANSWER_TIMEOUT_S = 90.0
"""For each step: a rolling restart has as many as processes."""


def begin(
    rundir: RunDir,
    faults: Sequence[Fault],
    progress: Callable[[ClusterState], None] = lambda _state: None,
) -> list[Fault]:
    """Put faults in force, all or none; returns them with the names that they got."""
    request = Request(op=Op.FAULT_BEGIN, faults=msgspec.Raw(encode_all(faults)))
    return _ask(rundir, request, progress)


def undo(rundir: RunDir, *ids: str) -> list[Fault]:
    """End these faults, or all; returns them once what they had ended serves again.

    One that is not there is over already.
    """
    return _ask(rundir, Request(op=Op.FAULT_UNDO, ids=ids))


def listed(rundir: RunDir) -> list[Fault]:
    """The faults that are in force, oldest first."""
    return _ask(rundir, Request(op=Op.FAULT_LIST))


def _ask(
    rundir: RunDir,
    request: Request,
    progress: Callable[[ClusterState], None] = lambda _state: None,
) -> list[Fault]:
    faults = msgspec.Raw(b"[]")
    try:
        for reply in control.ask(rundir, request, ANSWER_TIMEOUT_S):
            progress(reply.state)
            faults = reply.faults
    except control.NotListening:
        rundir.load_settings()  # it may be that there is no cluster
        raise
    return decode_all(bytes(faults))
