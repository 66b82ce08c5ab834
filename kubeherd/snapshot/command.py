"""The commands `kubeherd snapshot save`, `status` and `restore`."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.table import Table

from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.api.version import KUBEHERD_VERSION
from kubeherd.cluster.cli import etcdoptions
from kubeherd.cluster.cli.etcdoptions import etcd_options
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.interrupts import Interrupts
from kubeherd.cluster.cli.options import OutputFile, directory_given, directory_option
from kubeherd.cluster.cli.output import interrupted, out, say, steps, warn
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.settings import (
    MAX_NODES,
    MAX_PORT,
    MAX_SPEED,
    MIN_SPEED,
    Settings,
    StoreKind,
)
from kubeherd.snapshot.model import Origin, Snapshot, SnapshotError

Progress = Callable[[str], object]

_SOURCE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.group(
    epilog="""\b
Examples:
  kubeherd snapshot save before.snapshot
  kubeherd snapshot status before.snapshot
  kubeherd snapshot restore before.snapshot --dir /tmp/again
  kubeherd up --dir /tmp/again
"""
)
def snapshot() -> None:
    """The state of a cluster as a file, and a cluster made of one."""


@snapshot.command(
    epilog="""\b
Examples:
  kubeherd snapshot save before.snapshot
  kubeherd snapshot save production.snapshot --kubeconfig ~/.kube/config
"""
)
@click.argument("file", type=OutputFile())
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of any cluster that runs, whoever made it, instead of --dir.",
)
@directory_option
def save(file: Path, kubeconfig: Path | None, rundir: RunDir) -> None:
    """Write all objects of a cluster, as they are at one moment, to FILE.

    A cluster that runs is read through its API, a stopped one of ours from its store. FILE holds
    the values of Secrets; only you may read it. Keys and certificates are not in it.
    """
    from kubeherd.snapshot import fileformat  # noqa: PLC0415 - loads while nothing is asked of it

    with _interruptible(), steps("reading the objects") as progress:
        if kubeconfig is not None:
            taken = _from_api(kubeconfig, Origin.CLUSTER, progress.doing)
        else:
            taken = _of_ours(rundir, progress.doing)
        taken = msgspec.structs.replace(taken, saved=_now(), saved_by=KUBEHERD_VERSION)
        write_private(file, fileformat.encode(taken))
    for note in taken.notes:
        warn(f"not in the snapshot: {note}")
    say(f"{len(taken.entries):,} objects at revision {taken.revision} are in {file}")


@snapshot.command(
    epilog="""\b
Examples:
  kubeherd snapshot status before.snapshot
  kubeherd snapshot status etcd.db -o json | jq .objects
"""
)
@click.argument("file", type=_SOURCE)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(file: Path, output: str) -> None:
    """Check that FILE is whole, and show what is in it.

    FILE is a snapshot of kubeherd or of etcd, or what kubectl printed.
    """
    from kubeherd.snapshot import sources  # noqa: PLC0415 - what reads all kinds

    found = sources.read(file)
    document = {
        "origin": found.origin.value,
        "revision": found.revision,
        "saved": found.saved,
        "savedBy": found.saved_by,
        "objects": len(found.entries),
        "resources": dict(found.counts()),
        "notes": list(found.notes),
    }
    if output == "json":
        click.echo(json.dumps(document, indent=2))
        return
    out.print(f"origin    {found.origin.value}")
    out.print(f"revision  {found.revision}")
    if found.saved:
        out.print(f"saved     {found.saved} by kubeherd {found.saved_by}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("RESOURCE")
    table.add_column("OBJECTS", justify="right")
    for resource, count in found.counts().items():
        table.add_row(resource, str(count))
    table.add_row("all", str(len(found.entries)), style="bold")
    out.print(table)
    for note in found.notes:
        warn(note)


@snapshot.command(
    epilog="""\b
Examples:
  kubeherd snapshot restore before.snapshot --dir /tmp/again
  kubeherd snapshot restore etcd.db --dir /tmp/production --dry-run
  kubeherd snapshot restore before.snapshot --dir /tmp/again --store etcd
  kubectl get nodes,namespaces,deploy,rs,pods -A -o json | kubeherd snapshot restore -
"""
)
@click.argument("file", type=_SOURCE)
@directory_option
@click.option(
    "--store",
    type=click.Choice([kind.value for kind in StoreKind]),
    default=StoreKind.SQLITE.value,
    show_default=True,
    help="Where objects are kept; memory: it begins with the snapshot each time it is started; "
    "etcd: one of its own, or that of --etcd-endpoints, which must have no objects yet.",
)
@etcd_options
@click.option("--port", type=click.IntRange(1, MAX_PORT), help="[default: a free one, kept]")
@click.option(
    "--speed", type=click.FloatRange(MIN_SPEED, MAX_SPEED), help="As that of `kubeherd up`."
)
@click.option(
    "--nodes-per-agent",
    type=click.IntRange(1, MAX_NODES),
    help="Nodes that share one agent process.  [default: 1, or more where there are many]",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
def restore(
    file: Path,
    rundir: RunDir,
    store: str,
    port: int | None,
    speed: float | None,
    nodes_per_agent: int | None,
    *,
    dry_run: bool,
    **etcd: object,
) -> None:
    """Make a cluster, in a new directory, of what is in FILE; `kubeherd up` starts it.

    FILE is a snapshot of kubeherd, one of the etcd of a real cluster, or what kubectl printed (`get
    ... -o json`; - is standard input). Nodes of another cluster are replaced by fake ones of the
    same names; their pods stay bound to them. What cannot be kept is left out, and told.
    """
    from kubeherd.snapshot import adapting, planning, restoring, sources  # noqa: PLC0415

    restoring.check_free(rundir)
    adapted = adapting.adapt(sources.read(file), _now())
    wanted = planning.Wanted(
        store=StoreKind(store),
        port=port,
        speed=speed,
        nodes_per_agent=nodes_per_agent,
        **etcdoptions.read(etcd),
    )
    settings, without_agent = planning.settings_of(adapted, wanted)
    for change in (*adapted.changes, *without_agent):
        say(change)
    what = f"{len(adapted.snapshot.entries):,} objects and {_count(settings)}"
    if dry_run:
        say(f"would restore {what} into {rundir.root}")
        return
    _quietly()
    with _interruptible(), steps("restoring"):
        revision = restoring.restore(adapted.snapshot, rundir, settings)
    say(f"restored {what} into {rundir.root}; revisions go on after {revision}")
    say(f"`kubeherd up{directory_given(rundir)}` starts the cluster")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP leave as little behind as Ctrl-C does."""
    with Interrupts() as interrupts:
        try:
            yield
        except KeyboardInterrupt:
            raise interrupted("interrupted", interrupts.exit_code) from None


def _of_ours(rundir: RunDir, progress: Progress) -> Snapshot:
    settings = rundir.load_settings()
    if settings.joined:
        raise SnapshotError(f"the cluster of {rundir.root} is at {settings.joined}: save it there")
    if rundir.locked():
        taken = _from_api(rundir.kubeconfig, Origin.KUBEHERD, progress)
    else:
        from kubeherd.snapshot import stopped  # noqa: PLC0415 - opens the store

        lock = rundir.acquire_lock()  # nobody starts it meanwhile
        try:
            taken = stopped.take(rundir, settings)
        finally:
            os.close(lock)
    return msgspec.structs.replace(taken, settings=msgspec.to_builtins(settings))


def _from_api(kubeconfig: Path, origin: Origin, progress: Progress) -> Snapshot:
    from kubeherd.cluster.client.client import ApiClient  # noqa: PLC0415 - slow
    from kubeherd.cluster.client.http.transport import from_kubeconfig  # noqa: PLC0415
    from kubeherd.cluster.runtime.clock import LoopClock  # noqa: PLC0415
    from kubeherd.snapshot import taking  # noqa: PLC0415

    _quietly()

    async def read() -> Snapshot:
        transport = from_kubeconfig(kubeconfig)
        try:
            client = ApiClient(transport, LoopClock())
            return await taking.take(
                client, origin, progress=lambda resource: progress(f"reading {resource}")
            )
        finally:
            await transport.close()

    return run(read)


def _quietly() -> None:
    """What goes wrong is told once, by the command."""
    from kubeherd.cluster.runtime import logging  # noqa: PLC0415 - slow

    logging.configure("kubeherd", level="error")


def _now() -> str:
    return format_time(datetime.now(UTC))


def _count(settings: Settings) -> str:
    count = len(settings.nodes)
    return "1 node" if count == 1 else f"{count} nodes"
