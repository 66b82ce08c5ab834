"""The options of commands that name an etcd that runs already, and what becomes of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from kubeherd.cluster.launcher.errors import LauncherError

F = TypeVar("F", bound=Callable[..., Any])

_FILES: Final = ("etcd_cafile", "etcd_certfile", "etcd_keyfile")

OPTIONS: Final = (
    click.option(
        "--etcd-endpoints",
        default="",
        metavar="URL,...",
        envvar="KUBEHERD_ETCD_ENDPOINTS",
        show_envvar=True,
        help="An etcd that runs already, for --store etcd.",
    ),
    *(
        click.option(
            f"--etcd-{name}",
            type=click.Path(path_type=str),
            default="",
            metavar="FILE",
            envvar=f"KUBEHERD_ETCD_{name.upper()}",
            show_envvar=True,
            help=f"{what} (PEM).",
        )
        for name, what in (
            ("cafile", "The authority of that etcd's certificates"),
            ("certfile", "The certificate that is shown to it"),
            ("keyfile", "The key of that certificate"),
        )
    ),
)


def etcd_options(function: F) -> F:
    """These options, for `read`."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def read(options: Mapping[str, object]) -> dict[str, Any]:
    """Their values, by the names of the fields of `Settings`; LauncherError for a file that cannot
    be read."""
    return {
        "etcd_endpoints": tuple(filter(None, str(options["etcd_endpoints"]).split(","))),
        **{name: _readable(str(options[name])) for name in _FILES},
    }


def _readable(file: str) -> str:
    """The whole name of a file, "" for none; LauncherError if it cannot be read."""
    if not file:
        return ""
    path = Path(file).resolve()
    try:
        path.open("rb").close()
    except OSError as error:
        raise LauncherError(f"cannot read {path}: {error.strerror}") from None
    return str(path)
