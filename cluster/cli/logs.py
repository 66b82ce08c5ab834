"""`kubeherd logs`: the log of one process."""

import sys
import time
from pathlib import Path

import click

from kubeherd.cluster.cli.options import directory_option, log_names, name_argument
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError

_LOOK_INTERVAL_S = 0.2
_CHUNK_BYTES = 1 << 16


@click.command(
    epilog="""\b
Examples:
  kubeherd logs apiserver
  kubeherd logs node-1 -f
  kubeherd logs controller-manager | jq -r .event
"""
)
@directory_option
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows, until Ctrl-C.")
@name_argument(log_names)
def logs(rundir: RunDir, follow: bool, name: str) -> None:
    """Print the log of a process or of a node's agent (JSON lines).

    NAME is a node or one of the processes that `kubeherd status` shows.
    """
    path = _path(rundir, name)
    try:
        _print(path, follow=follow)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # no failure, as in any command
        raise
    except OSError as error:
        raise LauncherError(f"cannot read {path}: {error.strerror}") from error


def _path(rundir: RunDir, name: str) -> Path:
    settings = rundir.load_settings()
    if name in settings.node_names:
        return rundir.log(settings.agent_of(name))
    logged = sorted(path.stem for path in rundir.logs.glob("*.log"))
    if name not in logged:
        raise LauncherError(f'no process "{name}" here; there are: {", ".join(logged)}')
    return rundir.log(name)


def _print(path: Path, *, follow: bool) -> None:
    out = sys.stdout.buffer
    with path.open("rb") as file:
        while True:
            while chunk := file.read(_CHUNK_BYTES):
                out.write(chunk)
            out.flush()
            if not follow:
                return
            time.sleep(_LOOK_INTERVAL_S)
