"""The command `kubeherd demo`."""

import click


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(0.001),
    default=10.0,
    show_default=True,
    help="Shorten every wait of the cluster by this factor.",
)
def demo(speed: float) -> None:
    """Show a DaemonSet's life in half a minute.

    On a cluster of its own, nodes come, die and return, and an image rolls out and back. Each step
    says what should happen and waits until it has; exit code 1 at the first that does not hold.
    Nothing is left behind.
    """
    from kubeherd.demo import story  # noqa: PLC0415 - slow to import, not needed for --help

    if not story.show(speed):
        raise click.exceptions.Exit(1)
