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
  kubeherd bench --costs                 what a request costs, step by step
"""
)
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Repeatable.")
@click.option("--costs", is_flag=True, help="CPU of each step of a request instead, as a table.")
def bench(rows: tuple[str, ...], costs: bool) -> None:
    """Measure kubeherd against its budgets.

    Prints one JSON line per measured row, with `row`, `value`, `unit`, `budget` and `ok`. The
    budgets are for two cores and an idle machine: numbers of a busy one say little. With --costs a
    table in Markdown: microseconds of CPU by kind of request and step.
    """
    logging.configure("bench", level="error")
    if costs:
        from kubeherd.bench import costs as measured  # noqa: PLC0415 - for this only

        for line in measured.markdown(list(measured.costs())):
            click.echo(line)
        return
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for row in rows or ROWS:
        for result in ROWS[row]():
            click.echo(result.line())
