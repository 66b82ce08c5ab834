"""Supervisors started by exec, for commands that start one cluster (`warm` forks them)."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator, Sequence

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE
from kubeherd.cluster.runtime.files import open_log, spare
from kubeherd.cluster.runtime.handshake import LINE_BYTES, LOCK_FD, READY_FD_VARIABLE, failure_in

START_TIMEOUT_S = 15.0
_READY_FD = 3


def launch(rundir: RunDir, lock: int, options: Sequence[str]) -> None:
    """Execute the supervisor of a prepared run directory; returns once its socket answers.

    `lock` is the directory's, which the supervisor shares from then on. LauncherError if it did
    not start.
    """
    command = [sys.executable, "-P", "-m", "kubeherd.cluster.launcher", *options]
    read_end, write_end = os.pipe()
    try:
        with spare(write_end) as ready, spare(lock) as held, _log_of_supervisor(rundir) as log:
            os.posix_spawn(
                sys.executable,
                command,
                {
                    **os.environ,
                    READY_FD_VARIABLE: str(_READY_FD),
                    MARKER_VARIABLE: str(rundir.root),
                },
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    (os.POSIX_SPAWN_DUP2, ready, _READY_FD),
                    (os.POSIX_SPAWN_DUP2, held, LOCK_FD),
                ],
                setsid=True,
            )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    try:
        answered, _, _ = select.select([read_end], [], [], START_TIMEOUT_S)
        line = os.read(read_end, LINE_BYTES) if answered else b""
        failure = failure_in(line) if line else last_words(rundir.log("supervisor"))
        if failure or not line:
            raise LauncherError(f"the supervisor did not start: {failure}")
    finally:
        os.close(read_end)


@contextlib.contextmanager
def _log_of_supervisor(rundir: RunDir) -> Iterator[int]:
    try:
        log = open_log(rundir.log("supervisor"))
    except OSError as error:
        raise LauncherError(f"cannot write to {error.filename}: {error.strerror}") from error
    try:
        with spare(log) as copy:
            yield copy
    finally:
        os.close(log)
