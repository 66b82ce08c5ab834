"""`kubeherd node ...`: add, lose, freeze, revive and remove nodes of a running cluster."""

from collections.abc import Sequence

import click

from kubeherd.cluster.cli.options import (
    directory_option,
    name_argument,
    node_names,
    timeout_option,
)
from kubeherd.cluster.cli.output import err, steps, warn
from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import MAX_NODES

ANSWER_TIMEOUT_S = 90.0

_EPILOG = """\b
Examples:
  kubeherd node add                one more node
  kubeherd node add --count 10
  kubeherd node add edge-1
  kubeherd node kill node-1        the power is cut; it stays dead
  kubeherd node start node-1       and comes back under the same name
  kubeherd node freeze node-2      SIGSTOP: it hangs, and `thaw` lets it go on
"""


@click.group(epilog=_EPILOG)
def node() -> None:
    """Add, kill, stop, start, freeze, thaw and remove nodes."""


@node.command()
@directory_option
@timeout_option(60)
@click.option(
    "--count", type=click.IntRange(1, MAX_NODES), help="So many nodes with made-up names."
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def add(rundir: RunDir, timeout_s: float, count: int | None, names: tuple[str, ...]) -> None:
    """Add nodes, by name or by number; waits until they are Ready."""
    if names and count is not None:
        raise click.UsageError("give either names or --count")
    with steps("starting the agent") as progress:
        touched = _ask(rundir, Request(op=Op.NODE_ADD, nodes=names, count=count or 1))
        _wait_ready(rundir, touched, timeout_s)
        progress.done(f"added {', '.join(touched)}")


@node.command()
@directory_option
@timeout_option(60)
@name_argument(node_names)
def start(rundir: RunDir, timeout_s: float, name: str) -> None:
    """Start a killed or stopped node again; waits until it is Ready."""
    with steps("starting the agent") as progress:
        touched = _ask(rundir, Request(op=Op.NODE_START, nodes=(name,)))
        _wait_ready(rundir, touched, timeout_s)
        progress.done(f"started {name}")
    _warn_of_others(name, touched, "started")


@node.command()
@directory_option
@name_argument(node_names)
def kill(rundir: RunDir, name: str) -> None:
    """Kill a node's agent (SIGKILL). It stays dead until `node start`."""
    _act(rundir, Op.NODE_KILL, name, "killed")


@node.command()
@directory_option
@name_argument(node_names)
def stop(rundir: RunDir, name: str) -> None:
    """Stop a node's agent gracefully. It stays down until `node start`."""
    _act(rundir, Op.NODE_STOP, name, "stopped")


@node.command()
@directory_option
@name_argument(node_names)
def freeze(rundir: RunDir, name: str) -> None:
    """Freeze a node's agent (SIGSTOP): it keeps its connections, but does nothing."""
    _act(rundir, Op.NODE_FREEZE, name, "froze")


@node.command()
@directory_option
@name_argument(node_names)
def thaw(rundir: RunDir, name: str) -> None:
    """Let a frozen node go on (SIGCONT)."""
    _act(rundir, Op.NODE_THAW, name, "thawed")


@node.command()
@directory_option
@name_argument(node_names)
def rm(rundir: RunDir, name: str) -> None:
    """Stop a node's agent and delete the Node from the cluster."""
    touched = _ask(rundir, Request(op=Op.NODE_REMOVE, nodes=(name,)))
    if joined := rundir.load_settings().joined:
        warn(f"its Node stays at {joined}, which lets no node delete one: delete it there")
    else:
        from kubeherd.cluster.cli import api  # noqa: PLC0415 - slow to import

        api.delete_node(rundir, name)
    err.print(f"removed {name}")
    _warn_of_others(name, touched, "restarted")


def _act(rundir: RunDir, op: Op, name: str, verb: str) -> None:
    touched = _ask(rundir, Request(op=op, nodes=(name,)))
    err.print(f"{verb} {name}")
    _warn_of_others(name, touched, verb)


def _ask(rundir: RunDir, request: Request) -> tuple[str, ...]:
    """Ask the supervisor; returns the nodes that were touched."""
    rundir.load_settings()
    touched: tuple[str, ...] = ()
    for reply in control.ask(rundir, request, ANSWER_TIMEOUT_S):
        touched = reply.nodes
    return touched


def _wait_ready(rundir: RunDir, names: Sequence[str], timeout_s: float) -> None:
    from kubeherd.cluster.cli import api  # noqa: PLC0415 - slow to import, most commands do without

    api.wait_for_nodes(rundir, names, timeout_s, lambda _ready: None)


def _warn_of_others(name: str, touched: Sequence[str], verb: str) -> None:
    others = [other for other in touched if other != name]
    if others:
        shown = ", ".join(others[:10]) + (", ..." if len(others) > 10 else "")
        warn(f"{name} shares its agent process with other nodes: {verb} {shown} as well")
