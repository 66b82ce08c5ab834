"""The command `kubeherd replay`."""

import contextlib
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.interrupts import Interrupts
from kubeherd.cluster.cli.output import out, say, steps
from kubeherd.cluster.launcher.settings import MAX_PORT, MAX_SPEED, MIN_SPEED
from kubeherd.history import Began
from kubeherd.history.files import HistoryError, read
from kubeherd.replay import server
from kubeherd.replay.moments import BEGINNING, END, Moment, parse
from kubeherd.replay.server import Shown


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Moment | None:
    if value is None:
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _speed(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if value == 0 or MIN_SPEED <= value <= MAX_SPEED:
        return value
    raise click.BadParameter(f"{value:g} is neither 0 nor from {MIN_SPEED:g} to {MAX_SPEED:g}")


@click.command(
    epilog="""\b
Examples:
  kubeherd replay run.jsonl.gz                   how it was in the end
  kubeherd replay run.jsonl --at +90s            how it was after a minute and a half
  kubeherd replay run.jsonl --at 812             ... when revision 812 had been written
  kubeherd replay run.jsonl --speed 10           all of it, ten times as fast: kubectl get pods -w
"""
)
@click.argument("history", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--at",
    "moment",
    callback=_moment,
    metavar="MOMENT",
    help="A revision (812), a time (2026-11-26T21:00:00Z), since the beginning (+90s), begin or "
    "end.  [default: end; with --speed begin]",
)
@click.option(
    "--speed",
    type=float,
    default=0.0,
    callback=_speed,
    show_default=True,
    help="Go on from there so many times as fast as it was; 0 stands still.",
)
@click.option("--port", type=click.IntRange(1, MAX_PORT), help="Port to serve on.  [default: free]")
@click.option(
    "--dir",
    "place",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where kubeconfig and keys lie meanwhile.  [default: a temporary directory]",
)
def replay(
    history: Path, moment: Moment | None, speed: float, port: int | None, place: Path | None
) -> None:
    """Show a recorded history as a cluster that kubectl can read, until Ctrl-C.

    Objects, lists, watches and their resourceVersions are those of the run at that moment. Nothing
    can be changed, and nothing runs in its pods.
    """
    began = _beginning(history)
    if moment is None:
        moment = BEGINNING if speed else END
    options = ["--replay", str(history.absolute()), *moment.options(began)]
    options += ["--replay-speed", repr(speed)]

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as opened:
            rundir = opened.enter_context(server.directory(place))
            with steps(f"reading {history.name}"):
                starting = server.serving(rundir, server.chosen(port), options)
                child, shown = await opened.enter_async_context(starting)
            say(_told(history, began, shown))
            out.print(f"export KUBECONFIG={shlex.quote(str(rundir.kubeconfig))}", markup=False)
            goes_on = f"it goes on {speed:g} times as fast as it was" if speed else "read only"
            say(f"{goes_on}; Ctrl-C ends it")
            await server.ended(child, rundir)

    with Interrupts(), contextlib.suppress(KeyboardInterrupt):  # its keys are not left behind
        run(serve)


def _beginning(history: Path) -> Began:
    """How a history begins; click.ClickException if it is none."""
    try:
        first = next(read(history), None)
    except (HistoryError, OSError) as error:
        raise click.ClickException(f"cannot read {history}: {error}") from None
    if not isinstance(first, Began):
        raise click.ClickException(f"{history} is no history: it does not begin as one")
    return first


def _told(history: Path, began: Began, shown: Shown) -> str:
    time = format_time(datetime.fromtimestamp(shown.at, UTC))
    return (
        f"{history.name} as of revision {shown.revision}, {time}, {shown.at - began.at:.1f} s "
        f"after its beginning: {shown.objects:,} objects, {shown.bytes / 1e6:.1f} MB"
    )
