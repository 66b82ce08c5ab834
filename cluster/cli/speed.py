"""`kubeherd speed`: how fast the time of a running cluster goes."""

import click

from kubeherd.cluster.cli.options import directory_option, timeout_option
from kubeherd.cluster.cli.output import steps
from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import MAX_SPEED, MIN_SPEED


@click.command(
    epilog="""\b
Examples:
  kubeherd speed        how fast the cluster in ./.kubeherd is
  kubeherd speed 20     twenty times faster than the clock on the wall
"""
)
@directory_option
@timeout_option(90)
@click.argument(
    "speed", metavar="[FACTOR]", type=click.FloatRange(MIN_SPEED, MAX_SPEED), required=False
)
def speed(rundir: RunDir, timeout_s: float, speed: float | None) -> None:
    """Show or change how fast the time of a running cluster goes.

    Its processes are started again with the new speed, in order: for a second or two nothing
    moves. Pods live on; what is stopped or killed stays so.
    """
    settings = rundir.load_settings()
    if speed is None:
        click.echo(f"{settings.speed:g}")
        return
    if settings.joined:
        raise LauncherError("nodes of another cluster keep its speed: `kubeherd speed` there")
    with steps("starting the processes again") as progress:
        for _reply in control.ask(rundir, Request(op=Op.SPEED, speed=speed), timeout_s):
            pass
        progress.done(f"speed {speed:g}")
