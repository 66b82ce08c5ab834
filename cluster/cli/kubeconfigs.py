"""`kubeherd kubeconfig`: the administrator's, or one for another person."""

import re
from datetime import timedelta
from pathlib import Path

import click

from kubeherd.cluster.api import goduration
from kubeherd.cluster.cli.options import OutputFile, directory_option
from kubeherd.cluster.cli.output import say
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings

SUPERUSERS = "system:masters"
_DAYS = re.compile(r"([0-9]{1,6})d")
_MOST_DAYS = 36_500


class Length(click.ParamType[timedelta]):
    """A length of time: ``90d``, or as in Go: ``12h``, ``1h30m``."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The length; a usage error for none, or for one that is not at least a minute."""
        text = str(value)
        days = _DAYS.fullmatch(text)
        try:
            life = (
                timedelta(days=int(days[1]))
                if days
                else timedelta(microseconds=goduration.nanoseconds(text) // 1000)
            )
        except ValueError:
            self.fail(f"{text!r} is no length of time such as 90d, 12h or 1h30m", param, ctx)
        if not timedelta(minutes=1) <= life <= timedelta(days=_MOST_DAYS):
            self.fail(f"{text!r} is not between a minute and {_MOST_DAYS} days", param, ctx)
        return life


@click.command(
    epilog="""\b
Examples:
  kubeherd kubeconfig                                    the administrator's
  kubeherd kubeconfig --user jane -o jane.kubeconfig
  kubeherd kubeconfig --user ci --group deployers --duration 12h > ci.kubeconfig
  kubectl create clusterrolebinding jane --clusterrole=view --user=jane
"""
)
@directory_option
@click.option("--user", metavar="NAME", help="A kubeconfig for this user, with a new certificate.")
@click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="A group of the user; repeatable."
)
@click.option(
    "--duration",
    "life",
    type=Length(),
    default="365d",
    show_default=True,
    metavar="LENGTH",
    help="How long the certificate is good: 90d, 12h.",
)
@click.option(
    f"--allow-{SUPERUSERS.replace(':', '-')}",
    "allow_superusers",
    is_flag=True,
    help=f"Let --group be {SUPERUSERS}, whose members may do everything.",
)
@click.option(
    "-o", "--output", type=OutputFile(), help="Write it to this file, mode 0600, and not out."
)
def kubeconfig(
    rundir: RunDir,
    user: str | None,
    groups: tuple[str, ...],
    life: timedelta,
    allow_superusers: bool,
    output: Path | None,
) -> None:
    """Print the administrator's kubeconfig, or one that is made for another user.

    Who a user is, is in the certificate; what a user may do say roles and bindings of the cluster.
    A certificate cannot be taken back: it is good until it ends, so make it short where you can.
    """
    if user is None:
        if groups:
            raise click.UsageError("--group needs --user")
        _hand_out(_administrators(rundir), output)
        return
    if not user:
        raise click.UsageError("--user needs a name")
    if SUPERUSERS in groups and not allow_superusers:
        raise click.UsageError(
            f"members of {SUPERUSERS} may do everything, whatever roles say, until the certificate "
            "ends: --allow-system-masters if that is meant"
        )
    settings = rundir.load_settings()
    _hand_out(_made(rundir, settings, user, groups, life), output)
    if SUPERUSERS not in groups:
        say(
            f"what {user} may do say roles: kubectl create clusterrolebinding {user} "
            f"--clusterrole=view --user={user}"
        )


def _administrators(rundir: RunDir) -> str:
    if joined := rundir.load_settings().joined:
        raise LauncherError(
            f"the nodes in {rundir.root} joined {joined}: its kubeconfigs are made where it is"
        )
    try:
        return rundir.kubeconfig.read_text()
    except OSError as error:
        raise LauncherError(f"cannot read {rundir.kubeconfig}: {error.strerror}") from error


def _made(
    rundir: RunDir, settings: Settings, user: str, groups: tuple[str, ...], life: timedelta
) -> str:
    from kubeherd.cluster.launcher.pki import ClusterPki, Identity  # noqa: PLC0415 - slow

    pki = ClusterPki.of(rundir, settings)
    return pki.person(settings, Identity(user, tuple(dict.fromkeys(groups))), life)


def _hand_out(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        write_private(output, text.encode())
        say(f"wrote {output}")
