"""`DIR/run/faults.json`: the faults that are in force, for whoever looks from outside.

It is written before a fault is carried out, so that after a supervisor that was killed it says what
may have been hurt. Faults do not survive their supervisor: the next one begins without any.
"""

from collections.abc import Sequence

from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.faults import Fault, FaultError
from kubeherd.faults.fault import decode_all, encode_all


def write(rundir: RunDir, faults: Sequence[Fault]) -> None:
    """Replace the file, which is not there without faults. LauncherError if that fails."""
    if faults:
        write_private(rundir.faults_json, encode_all(faults) + b"\n", durable=False)
        return
    try:
        rundir.faults_json.unlink(missing_ok=True)
    except OSError as error:
        raise LauncherError(f"cannot delete {rundir.faults_json}: {error.strerror}") from error


def read(rundir: RunDir) -> list[Fault]:
    """The faults that were written last; none if the file is missing or damaged."""
    try:
        return decode_all(rundir.faults_json.read_bytes())
    except (OSError, FaultError):
        return []
