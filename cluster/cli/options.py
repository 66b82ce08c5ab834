"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kubeherd.cluster.launcher.directory.rundir import RunDir

F = TypeVar("F", bound=Callable[..., Any])


def directory_option(function: F) -> F:
    """`--dir DIR`, handed on as a `RunDir` named `rundir`."""
    return click.option(
        "--dir",
        "rundir",
        type=click.Path(path_type=Path, file_okay=False),
        default=".kubeherd",
        envvar="KUBEHERD_DIR",
        show_default=True,
        show_envvar=True,
        callback=lambda _ctx, _param, value: RunDir(value),
        help="Directory of the cluster.",
    )(function)


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
