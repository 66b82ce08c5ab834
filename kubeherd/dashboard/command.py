"""The command `kubeherd dashboard`."""

import contextlib
from pathlib import Path

import kubeherd.cluster.runtime.lean.aiohttp_server
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
import click

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.interrupts import Interrupts
from kubeherd.cluster.cli.options import directory_given, directory_option, kubeconfig_option
from kubeherd.cluster.cli.output import say, steps
from kubeherd.cluster.launcher import dashboard as running_one
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import MAX_PORT
from kubeherd.cluster.runtime import logging
from kubeherd.dashboard import opening, running
from kubeherd.dashboard.recorded import Recorded, read
from kubeherd.dashboard.web.server import USUAL_PORT, listening
from kubeherd.following.live import source


@click.command(
    epilog="""\b
Examples:
  kubeherd dashboard                                 the cluster in ./.kubeherd
  kubeherd dashboard --kubeconfig ~/.kube/config     any cluster
  kubeherd dashboard --history run.jsonl             a recorded run (`kubeherd record`)
  kubeherd dashboard --url                           another address of the one that runs
"""
)
@kubeconfig_option
@directory_option
@click.option(
    "--history",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A recorded run, instead of a cluster.",
)
@click.option(
    "--port",
    type=click.IntRange(0, MAX_PORT),
    help=f"Of 127.0.0.1; 0: any free one.  [default: {USUAL_PORT}, or any if that is taken]",
)
@click.option("--read-only", is_flag=True, help="Show the cluster, and let nobody act on it.")
@click.option("--no-open", is_flag=True, help="Only print the address, open no browser.")
@click.option("--url", is_flag=True, help="Print an address of the dashboard that runs, and end.")
def dashboard(
    kubeconfig: Path | None,
    rundir: RunDir,
    history: Path | None,
    port: int | None,
    read_only: bool,
    no_open: bool,
    url: bool,
) -> None:
    """Show a cluster in a browser as it lives, and act on it.

    The address that it prints lets one browser in, once; --url prints another one. Only this
    machine can reach it. Ctrl-C ends it.
    """
    if history is not None and (kubeconfig is not None or url):
        raise click.UsageError("give either --history or what names a cluster")
    logging.configure("dashboard", level="error")
    if url:
        _print_address(rundir)
        return
    _Window(no_open=no_open).run(kubeconfig, rundir, history, port, read_only=read_only)


def _print_address(rundir: RunDir) -> None:
    rundir.load_settings()
    address = running_one.address(rundir)
    if not address:
        raise KubeherdError(f"the cluster in {rundir.root} has no dashboard that runs")
    click.echo(address)


class _Window:
    """A dashboard in the foreground, and the browser that shows it."""

    def __init__(self, *, no_open: bool) -> None:
        self._opens = not no_open and opening.has_screen()
        self._closing = contextlib.ExitStack()

    def run(
        self,
        kubeconfig: Path | None,
        rundir: RunDir,
        history: Path | None,
        port: int | None,
        *,
        read_only: bool,
    ) -> None:
        """Show it until a signal."""
        with self._closing, Interrupts(), contextlib.suppress(KeyboardInterrupt):
            if history is not None:
                with steps(f"reading {history.name}"):
                    board = Recorded(read(history))
                run(lambda: running.show(board, listening(port), self._begun))
                return
            of = source(kubeconfig, rundir)
            if of.rundir is not None and (address := running_one.address(of.rundir)):
                raise KubeherdError(
                    f"the cluster has a dashboard, at {address.partition('?')[0]}: "
                    f"`kubeherd dashboard --url{directory_given(of.rundir)}` prints an address "
                    "that lets you in"
                )
            if of.rundir is not None and not of.rundir.locked():
                raise KubeherdError(
                    f"the cluster in {of.rundir.root} is not running: "
                    f"`kubeherd up{directory_given(of.rundir)}` starts it"
                )
            on = listening(port)
            run(lambda: running.show_cluster(of, on, self._begun, read_only=read_only))

    def _begun(self, address: str) -> None:
        click.echo(address)
        say("lets one browser in, once; Ctrl-C ends the dashboard")
        if self._opens:
            self._closing.enter_context(opening.opened(address))
