"""The command `kubeherd record`."""

import asyncio
import contextlib
import time
from pathlib import Path

import click

from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.options import OutputFile, directory_option, kubeconfig_option, seconds
from kubeherd.cluster.cli.output import say
from kubeherd.cluster.client.discovery import EVERYTHING
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime import logging
from kubeherd.following.live import followed, source
from kubeherd.history import Ended, Record
from kubeherd.recording.leases import Leases
from kubeherd.recording.writing import Writing, writing

_ALL = frozenset({EVERYTHING})


@click.command(
    epilog="""\b
Examples:
  kubeherd record run.jsonl.gz --for 5m         the cluster in ./.kubeherd, with its faults
  kubeherd record run.jsonl --kubeconfig FILE   any cluster, until Ctrl-C
  kubeherd timeline run.jsonl                   draws it
  kubeherd check --history run.jsonl            judges it
"""
)
@click.argument("history", type=OutputFile())
@kubeconfig_option
@directory_option
@click.option("--for", "for_s", callback=seconds, help="End after so long (60s, 5m).")
def record(history: Path, kubeconfig: Path | None, rundir: RunDir, for_s: float | None) -> None:
    """Record what happens in a cluster, from now on, into a file (.jsonl, .jsonl.gz).

    Every write of every resource, in order, as watches tell of it; of a cluster of kubeherd the
    processes and faults, too. Values of Secrets are left out; the file is readable by you only.
    """
    logging.configure("record", level="error")
    of = source(kubeconfig, rundir)
    leases = Leases(of.speed)
    with writing(history) as file:

        def tell(record: Record) -> None:
            for one in leases.told(record):
                file.tell(one)

        async def look() -> None:
            async with followed(of, _ALL, tell) as following:
                end = f"for {for_s:g} s" if for_s else "until Ctrl-C"
                say(f"recording {following.count} resources {end}")
                await _until_over(file, for_s)
            for note in following.notes():
                say(f"note: {note}")
            if following.began_anew:
                say("note: the server lost its objects, and counted its revisions anew")

        with contextlib.suppress(KeyboardInterrupt):
            run(look)
        tell(Ended(at=time.time()))
    if file.failure:
        raise click.ClickException(
            f"cannot write {history}: {file.failure}; what came before is in it"
        )
    say(f"{file.count:,} records in {history}")


async def _until_over(file: Writing, for_s: float | None) -> None:
    """As long as it was to be, or as it can be written."""
    flushing = asyncio.create_task(file.keep_flushing(), name="flush the history")
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await file.failed.wait()
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
