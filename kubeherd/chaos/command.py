"""The command `kubeherd chaos` and its experiments."""

from pathlib import Path

import click

from kubeherd.cluster.launcher.settings import MAX_NODES, MAX_SEED, MAX_SPEED, MIN_SPEED


@click.group()
def chaos() -> None:
    """Hurt a cluster at random and check that it recovers."""


@chaos.command(
    epilog="""\b
Examples:
  kubeherd chaos nodes --seed 7 --nodes 8 --duration 30
"""
)
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    help="Replays the same decisions.  [default: random]",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, MAX_NODES),
    default=6,
    show_default=True,
    help="Number of nodes of the cluster.",
)
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Hurt it for so many seconds.",
)
@click.option(
    "--speed",
    type=click.FloatRange(MIN_SPEED, MAX_SPEED),
    default=20.0,
    show_default=True,
    help="Shorten every wait of the cluster by this factor.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the cluster's files here.",
)
def nodes(
    seed: int | None, nodes: int, duration_s: float, speed: float, directory: Path | None
) -> None:
    """Kill, freeze and restart nodes and the controller manager while images roll.

    The cluster is the experiment's own. At the end all is healed, and every node must have exactly
    one ready pod of the newest revision; exit code 1, with what is wrong, if the cluster does not
    get there.
    """
    from kubeherd.chaos import nodes as experiment  # noqa: PLC0415 - slow, not needed for --help

    if not experiment.run(seed, nodes, duration_s, speed, directory):
        raise click.exceptions.Exit(1)
