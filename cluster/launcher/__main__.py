"""`python -m kubeherd.cluster.launcher --dir DIR`: the supervisor process of one cluster.

Started by `kubeherd up`, which wrote cluster.json before and hands over the lock of the run
directory. Holds the lock for as long as it lives, announces itself through the readiness handshake
once the control socket answers, and ends in order on SIGTERM, SIGINT, the stop command, or when its
directory is gone. Exit code 1 and one line of text on stderr when it could not start.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.cryptography
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.exits import watch_exit
from kubeherd.cluster.launcher.processes.orphans import stop_orphans
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.processes.starters import ProcessStarter
from kubeherd.cluster.launcher.supervisor.supervisor import Supervisor
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.rng import Rng

STOP_GRACE_PERIOD_S = 40.0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the supervisor."""
    options = _parse(argv)
    try:
        exit_code = _supervise(options)
    except LauncherError as error:
        sys.exit(str(error))
    sys.exit(exit_code)


def _supervise(options: argparse.Namespace) -> int:
    """Run the supervisor to its end; returns its exit code."""
    rundir, follow_pid = RunDir(options.dir), options.follow_pid
    lock = _lock(rundir, options.lock_fd)
    try:
        settings = rundir.load_settings()
        if options.lock_fd is None:  # who hands the lock over has looked for them
            stop_orphans(rundir)
        own = osproc.identify(os.getpid()) or ProcessId(os.getpid())
        clock = LoopClock()  # real seconds: operating system processes do not obey --speed
        starter = ProcessStarter(rundir)
        rng = Rng(settings.seed).child("supervisor")

        async def live(lifecycle: Lifecycle) -> int | None:
            if follow_pid is not None and (followed := osproc.identify(follow_pid)):
                watch_exit(followed, lifecycle.stop.set)
            supervisor = Supervisor(
                rundir,
                settings,
                starter,
                clock,
                rng,
                own,
                in_place=lambda: rundir.is_locked_by(lock),
                accept_loss_after=options.accept_loss_after,
            )
            await supervisor.run(lifecycle.stop, lifecycle.ready)
            if supervisor.failure:
                raise ProcessError(supervisor.failure)
            return None

        return process.run(live, "supervisor", grace_period_s=STOP_GRACE_PERIOD_S)
    finally:
        if rundir.is_locked_by(lock):
            stop_orphans(rundir)
        os.close(lock)


def _lock(rundir: RunDir, inherited: int | None) -> int:
    """The lock of the directory: from `up`, or acquired now. LauncherError if others have it."""
    if inherited is None:
        return rundir.acquire_lock()
    os.set_inheritable(inherited, False)
    if not rundir.is_locked_by(inherited):
        raise LauncherError(f"{rundir.root} was deleted or moved away")
    return inherited


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.cluster.launcher",
        description="Supervise the processes of one cluster.",
    )
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
    parser.add_argument(
        "--lock-fd", type=int, metavar="N", help="inherited descriptor that holds the lock"
    )
    parser.add_argument(
        "--follow-pid", type=int, metavar="PID", help="stop the cluster when this process ends"
    )
    parser.add_argument(
        "--accept-loss-after", type=int, metavar="REVISION", help="given to the API server once"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
