"""`kubeherd faults`: what is in force, for people and for programs."""

import json
import time
from collections.abc import Iterator, Sequence

import click
import msgspec

from kubeherd.cluster.cli.options import directory_given, directory_option
from kubeherd.cluster.cli.output import columns, say
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.faults import asking
from kubeherd.faults import Fault

_COLUMNS = ("ID", "KIND", "WHOM", "HOW", "SINCE", "ENDS", "UNDO")


@click.command(
    epilog="""\b
Examples:
  kubeherd faults
  kubeherd faults -o json | jq -r '.[].id'
"""
)
@directory_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def faults(rundir: RunDir, output: str) -> None:
    """Show the faults that are in force: whom they hurt, since when, and how to undo them."""
    listed = asking.listed(rundir)
    if output == "json":
        click.echo(json.dumps(msgspec.to_builtins(listed), indent=2))
    elif not listed:
        say("there are no faults")
    else:
        click.echo("\n".join(lines(listed, time.time(), directory_given(rundir))))


def lines(listed: Sequence[Fault], now_s: float, where: str = "") -> Iterator[str]:
    """The faults as a table; `where` is what a command needs to find the cluster."""
    rows = [
        _COLUMNS,
        *(
            (
                fault.id,
                fault.kind.value,
                str(fault.target),
                fault.parameters or "-",
                f"{span(now_s - fault.at)} ago",
                f"in {span(fault.until - now_s)}" if fault.until else "when undone",
                f"kubeherd fault undo {fault.id}{where}",
            )
            for fault in listed
        ),
    ]
    yield from columns(rows)


def span(seconds: float) -> str:
    """A length of time in a few letters: ``5s``, ``3m20s``, ``2h5m``; real seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
