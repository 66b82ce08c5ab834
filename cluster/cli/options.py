"""Options and arguments that several commands share."""

import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from kubeherd.cluster.api.goduration import nanoseconds
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import NODE_START_TIMEOUT_S, START_TIMEOUT_S

DEFAULT_DIRECTORY = ".kubeherd"

F = TypeVar("F", bound=Callable[..., Any])


def directory_option(function: F) -> F:
    """`--dir DIR`, handed on as a `RunDir` named `rundir`."""
    return click.option(
        "--dir",
        "rundir",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_DIRECTORY,
        envvar="KUBEHERD_DIR",
        show_default=True,
        show_envvar=True,
        callback=lambda _ctx, _param, value: RunDir(value),
        help="Directory of the cluster.",
    )(function)


def kubeconfig_option(function: F) -> F:
    """`--kubeconfig FILE`, handed on as `kubeconfig`: any cluster instead of one of ours."""
    return click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Of the cluster, whoever made it, instead of --dir.",
    )(function)


def seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A callback: ``90s``, ``5m``, ``90`` as seconds; click.BadParameter for what is none."""
    if value is None:
        return None
    try:
        return nanoseconds(f"{value}s" if value.isdecimal() else value) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


class OutputFile(click.Path):
    """A file to be written, as a `Path`. One that certainly cannot be is refused at once, and not
    when the work is done."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; a usage error if there is no folder for it, or none that may be written."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.exists() and not os.access(path.parent, os.W_OK | os.X_OK):
            why = "cannot be written in" if path.parent.is_dir() else "does not exist"
            self.fail(f"{str(path)!r}: the folder {str(path.parent)!r} {why}", param, ctx)
        return path


def directory_given(rundir: RunDir) -> str:
    """What a command line needs to name this directory: nothing, if it is the usual one."""
    usual = RunDir(Path(DEFAULT_DIRECTORY)).root
    return "" if rundir.root == usual else f" --dir {shlex.quote(str(rundir.root))}"


def timeout_option(default_s: float) -> Callable[[F], F]:
    """`--timeout SECONDS`, handed on as `timeout_s`."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=default_s,
        show_default=True,
        help="Give up after so many seconds.",
    )


def start_timeout_option() -> Callable[[F], F]:
    """`--timeout SECONDS` of a start, handed on as `timeout_s`; None if it is not given."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        help=f"Give up after so many seconds.  [default: {START_TIMEOUT_S:g}, and "
        f"{NODE_START_TIMEOUT_S:g} for each node]",
    )


def name_argument(
    names: Callable[[RunDir], Iterable[str]], *, many: bool = False
) -> Callable[[F], F]:
    """`NAME`, completed by the shell with those of `names` for the cluster that is meant; `many`:
    any number of them, handed on as `names`."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        rundir = ctx.params.get("rundir") or RunDir(Path(DEFAULT_DIRECTORY))
        try:
            return sorted(name for name in names(rundir) if name.startswith(incomplete))
        except LauncherError:  # there is no cluster, and so there are no names
            return []

    if many:
        return click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete)
    return click.argument("name", shell_complete=complete)


def node_names(rundir: RunDir) -> Iterable[str]:
    """The nodes of a cluster; LauncherError if there is none."""
    return rundir.load_settings().node_names


def log_names(rundir: RunDir) -> Iterable[str]:
    """What has a log in a cluster: its processes, and its nodes by their own names."""
    return {*(log.stem for log in rundir.logs.glob("*.log")), *node_names(rundir)}
