"""The command `kubeherd bench`."""

import resource

import click

from kubeherd.bench.rows import ROWS
from kubeherd.cluster.runtime import logging


@click.command(
    epilog="""\b
Examples:
  kubeherd bench                         every row (minutes)
  kubeherd bench --row start --row crud  some rows
"""
)
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Repeatable.")
def bench(rows: tuple[str, ...]) -> None:
    """Measure kubeherd against its budgets.

    Prints one JSON line per measured row, with `row`, `value`, `unit`, `budget` and `ok`. The
    budgets are for two cores and an idle machine: numbers of a busy one say little.
    """
    logging.configure("bench", level="error")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for row in rows or ROWS:
        for result in ROWS[row]():
            click.echo(result.line())
