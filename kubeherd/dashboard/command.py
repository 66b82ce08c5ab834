"""The command `kubeherd dashboard`."""

import asyncio
import secrets
from pathlib import Path
from typing import Final

import kubeherd.cluster.runtime.lean_aiohttp_server
import kubeherd.cluster.runtime.lean_imports  # noqa: F401 - before all that imports structlog

# isort: split
import click

from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.options import directory_option, kubeconfig_option
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import MAX_PORT
from kubeherd.cluster.runtime import logging
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.dashboard.app import App
from kubeherd.dashboard.cluster import Cluster
from kubeherd.dashboard.feed import Feed
from kubeherd.dashboard.live import Live
from kubeherd.dashboard.server import listening, serving
from kubeherd.dashboard.session import Session
from kubeherd.following.live import source

_SECRET_BYTES: Final = 32


@click.command(
    epilog="""\b
Examples:
  kubeherd dashboard                                 the cluster in ./.kubeherd
  kubeherd dashboard --kubeconfig ~/.kube/config     any cluster
"""
)
@kubeconfig_option
@directory_option
@click.option("--port", type=click.IntRange(0, MAX_PORT), help="Of 127.0.0.1; 0: any free one.")
@click.option("--read-only", is_flag=True, help="Show the cluster, and let nobody act on it.")
@click.option("--no-open", is_flag=True, help="Only print the address, open no browser.")
def dashboard(
    kubeconfig: Path | None, rundir: RunDir, port: int | None, read_only: bool, no_open: bool
) -> None:
    """Show a cluster in a browser as it lives, and act on it.

    The address lets one browser in, once. Ctrl-C ends it.
    """
    logging.configure("dashboard", level="error")
    of = source(kubeconfig, rundir)
    on = listening(port)
    session = Session(on.getsockname()[1], lambda: secrets.token_urlsafe(_SECRET_BYTES))
    clock = LoopClock()
    feed = Feed(lambda: clock.now().timestamp())
    app = App(session, Cluster(of, feed, read_only=read_only))

    async def live() -> None:
        begun = asyncio.Event()
        following = asyncio.create_task(Live(of, feed, bool).run(begun.set), name="live")
        waiting = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                await following
            async with serving(app, on):
                click.echo(session.url())
                await following
        finally:
            following.cancel()
            waiting.cancel()

    run(live)
