"""`kubeherd up` and `kubeherd down`: a cluster as a whole."""

import os
import signal
from collections.abc import Sequence
from types import FrameType

import click
import msgspec
from click.core import ParameterSource

from kubeherd.cluster.cli.options import directory_option, timeout_option
from kubeherd.cluster.cli.output import Steps, err, out, steps, warn
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.rundir import RunDir
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.launcher.state import ClusterState

_UP_EPILOG = """\b
Examples:
  kubeherd up                          three nodes, in ./.kubeherd
  kubeherd up --nodes 50 --speed 10    ten times faster than the clock on the wall
  kubeherd up --nodes 1000 --nodes-per-agent 100
  kubeherd up --dir /tmp/a --store memory --foreground
"""


@click.command(epilog=_UP_EPILOG)
@directory_option
@click.option(
    "--nodes",
    type=click.IntRange(0, 10000),
    default=3,
    show_default=True,
    envvar="KUBEHERD_NODES",
    help="Number of nodes of a new cluster.",
)
@click.option(
    "--nodes-per-agent",
    type=click.IntRange(1, 10000),
    default=1,
    show_default=True,
    envvar="KUBEHERD_NODES_PER_AGENT",
    help="Nodes that share one agent process.",
)
@click.option(
    "--store",
    type=click.Choice([kind.value for kind in StoreKind]),
    default="sqlite",
    show_default=True,
    envvar="KUBEHERD_STORE",
    help="Where objects are kept.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="KUBEHERD_PORT",
    help="Port of the API server.  [default: a free one, kept]",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.001, 10000),
    default=1.0,
    show_default=True,
    envvar="KUBEHERD_SPEED",
    help="Shorten every wait of the cluster by this factor.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    envvar="KUBEHERD_SEED",
    help="Seed of every random decision.  [default: random, kept]",
)
@click.option("--foreground", is_flag=True, help="Stay, and stop the cluster on Ctrl-C.")
@timeout_option(120)
@click.pass_context
def up(
    ctx: click.Context,
    rundir: RunDir,
    nodes: int,
    nodes_per_agent: int,
    store: str,
    port: int | None,
    speed: float,
    seed: int | None,
    foreground: bool,
    timeout_s: float,
) -> None:
    """Start a cluster, or bring a stopped one back with its nodes and objects.

    Returns when the API server answers and every node is Ready; the processes stay.
    """
    given = {
        name
        for name in ("nodes", "nodes_per_agent", "store", "port", "speed", "seed")
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if rundir.exists():
        settings = _stored(rundir, given, nodes, StoreKind(store))
        wanted = {"nodes_per_agent": nodes_per_agent, "port": port, "speed": speed, "seed": seed}
        changes = {name: value for name, value in wanted.items() if name in given}
        settings = msgspec.structs.replace(settings, **changes)
    else:
        settings = lifecycle.new_settings(
            nodes=nodes,
            nodes_per_agent=nodes_per_agent,
            store=StoreKind(store),
            port=port,
            speed=speed,
            seed=seed,
        )
    _start(rundir, settings, timeout_s, foreground=foreground)
    _explain(rundir, settings)
    if foreground:
        _stay(rundir)


@click.command(
    epilog="""\b
Examples:
  kubeherd down
  kubeherd down --purge     deletes the directory as well
"""
)
@directory_option
@click.option("--purge", is_flag=True, help="Delete the directory with everything in it.")
def down(rundir: RunDir, purge: bool) -> None:
    """Stop every process of a cluster in order. Does nothing if it is stopped already."""
    if not rundir.root.exists():
        err.print(f"there is no cluster in {rundir.root}")
        return
    if not rundir.exists():
        raise LauncherError(f"{rundir.root} is not the directory of a cluster")
    _stop(rundir)
    if purge:
        rundir.purge()
        err.print(f"deleted {rundir.root}")


def _stored(rundir: RunDir, given: set[str], nodes: int, store: StoreKind) -> Settings:
    """The settings of a stopped cluster; says so where options contradict them."""
    settings = rundir.load_settings()
    if "store" in given and store is not settings.store:
        raise LauncherError(
            f"the cluster in {rundir.root} keeps its objects in the {settings.store} store; "
            "`kubeherd down --purge` deletes it"
        )
    if "nodes" in given and nodes != len(settings.nodes):
        warn(
            f"the cluster in {rundir.root} has {len(settings.nodes)} nodes; --nodes {nodes} is "
            "ignored (use `kubeherd node add` and `kubeherd node rm`)"
        )
    return settings


def _start(rundir: RunDir, settings: Settings, timeout_s: float, *, foreground: bool) -> None:
    with steps("starting the processes") as progress:
        lifecycle.begin(rundir, settings, follow_pid=os.getpid() if foreground else None)
        from kubeherd.cluster.cli import api  # noqa: PLC0415 - loads while the processes start

        shown = _UpProgress(progress, settings)
        lifecycle.wait_until_up(rundir, timeout_s, shown.show)
        count = len(settings.nodes)
        progress.doing("waiting for the nodes")
        api.wait_for_nodes(
            rundir,
            settings.node_names,
            timeout_s,
            lambda ready: progress.doing(f"nodes Ready: {ready} of {count}"),
        )
        progress.done(f"{_count(count, 'node')} Ready")


class _UpProgress:
    """Tells each thing once, as it happens."""

    def __init__(self, steps_: Steps, settings: Settings) -> None:
        self._steps = steps_
        self._settings = settings
        self._told: set[Role] = set()

    def show(self, state: ClusterState) -> None:
        texts = {
            Role.APISERVER: f"API server at {self._settings.server}",
            Role.CONTROLLER_MANAGER: "controller manager",
        }
        for process in state.processes:
            text = texts.get(process.role)
            if text and process.ready and process.role not in self._told:
                self._told.add(process.role)
                self._steps.done(text)
        agents = [p for p in state.processes if p.role is Role.AGENT]
        ready = sum(p.ready for p in agents)
        self._steps.doing(f"agents running: {ready} of {len(agents)}")


def _explain(rundir: RunDir, settings: Settings) -> None:
    out.print(f"The cluster is up: {_count(len(settings.nodes), 'node')}, seed {settings.seed}.")
    out.print(f"  export KUBECONFIG={rundir.kubeconfig}")
    out.print("  kubectl get nodes")


def _stay(rundir: RunDir) -> None:
    """Wait for Ctrl-C, SIGTERM or the cluster's end, then stop everything."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        err.print("Ctrl-C stops the cluster.")
        lifecycle.wait_for_end(rundir)
        return
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    _stop(rundir)


def _stop(rundir: RunDir) -> None:
    with steps("stopping the processes") as progress:

        def show(state: ClusterState) -> None:
            left = _names([p.name for p in state.processes if p.process is not None])
            progress.doing(f"stopping {left}")

        if lifecycle.shut_down(rundir, show):
            progress.done("stopped")
        else:
            err.print(f"the cluster in {rundir.root} is not running")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
