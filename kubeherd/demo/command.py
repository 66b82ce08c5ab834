"""The command `kubeherd demo`."""

from pathlib import Path

import click

from kubeherd.cluster.cli.options import OutputFile
from kubeherd.cluster.launcher.settings import MAX_SPEED, MIN_SPEED


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(MIN_SPEED, MAX_SPEED),
    default=10.0,
    show_default=True,
    help="Shorten every wait of the cluster by this factor.",
)
@click.option(
    "--svg",
    type=OutputFile(),
    help="Write what is shown into this file, as a picture.",
)
def demo(speed: float, svg: Path | None) -> None:
    """Show a DaemonSet's life in less than half a minute.

    On a cluster of its own, nodes come, die and return, and an image rolls out and back. Each step
    says what should happen and waits until it has; exit code 1 at the first that does not hold.
    Nothing is left behind.
    """
    from kubeherd.demo import story  # noqa: PLC0415 - slow to import, not needed for --help

    holds = story.show(speed) if svg is None else story.picture(speed, svg)
    if not holds:
        raise click.exceptions.Exit(1)
