"""The command `kubeherd watch`."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.options import directory_option, kubeconfig_option
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime import logging
from kubeherd.following.live import followed, source
from kubeherd.following.session import SHOWN_WAIT_S, Following, Manner
from kubeherd.herd.herd import NEEDS, NEWS, Herd
from kubeherd.watch import screen
from kubeherd.watch.terminal import taken

_LINES_S: Final = 0.1
_DRAW_S: Final = 0.5
_QUIT: Final = ("q", "Q", "\x1b")


@click.command(
    epilog="""\b
Examples:
  kubeherd watch                                the cluster in ./.kubeherd; q ends it
  kubeherd watch --kubeconfig ~/.kube/config    any cluster
  kubeherd watch | tee events.log               what happens, a line each
"""
)
@kubeconfig_option
@directory_option
def watch(kubeconfig: Path | None, rundir: RunDir) -> None:
    """Show a cluster as it lives: nodes, rollouts and what holds them up, faults, events.

    In a terminal a picture that follows the cluster; elsewhere (a pipe, a file) a line for
    everything that happens. NO_COLOR leaves out the colours.
    """
    logging.configure("watch", level="error")
    of = source(kubeconfig, rundir)
    shown = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    show = _on_terminal if shown else _as_lines

    async def following() -> None:
        herd = Herd()
        manner = Manner(only_news=NEWS, wait_s=SHOWN_WAIT_S, look_s=_DRAW_S)
        async with followed(of, NEEDS, herd.see, manner) as session:
            await show(herd, session)

    run(following)


async def _on_terminal(herd: Herd, following: Following) -> None:
    """Draw until a key ends it."""
    colour = "NO_COLOR" not in os.environ
    ended = asyncio.Event()
    with taken(sys.stdout) as canvas, _keys(ended.set):
        while not ended.is_set():
            width, height = canvas.size()
            note = following.failing()
            lines = screen.screen(herd, width, height, time.time(), note)
            canvas.draw([screen.sgr(line, colour=colour) for line in lines])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _DRAW_S)


async def _as_lines(herd: Herd, following: Following) -> None:
    """Print what happens until interrupted, or until nobody reads."""
    printed, told = herd.told, ""
    while True:
        for news in list(herd.news)[len(herd.news) - (herd.told - printed) :]:
            about = f"{news.about}: " if news.about else ""
            click.echo(
                screen.printable(f"{screen.clock(news.at)} {news.what:9} {about}{news.text}")
            )
        printed = herd.told
        if (failing := following.failing()) != told:
            click.echo(failing or "the cluster answers again", err=True)
            told = failing
        await asyncio.sleep(_LINES_S)


@contextlib.contextmanager
def _keys(end: Callable[[], None]) -> Iterator[None]:
    """Listen for the key that ends it."""
    if not sys.stdin.isatty():
        yield
        return
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def pressed() -> None:
        if os.read(descriptor, 16).decode(errors="replace")[:1] in _QUIT:
            end()

    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
