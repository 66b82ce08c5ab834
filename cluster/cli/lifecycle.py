"""`kubeherd up` and `kubeherd down`: a cluster as a whole."""

import shlex

import click

from kubeherd.cluster.cli.clusteroptions import Wanted, cluster_options
from kubeherd.cluster.cli.interrupts import Interrupts
from kubeherd.cluster.cli.options import directory_given, directory_option, start_timeout_option
from kubeherd.cluster.cli.output import err, interrupted, out, say, warn
from kubeherd.cluster.cli.starting import Wish, bring_up, command_line, count, names, stop
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import ExecKind, Settings

_UP_EPILOG = """\b
Examples:
  kubeherd up                          three nodes, in ./.kubeherd
  kubeherd up --nodes 50 --speed 10    ten times faster than the clock on the wall
  kubeherd up --nodes 1000 --nodes-per-agent 100
  kubeherd up --controllers 2          one controller manager leads, the other stands by
  kubeherd up --store etcd --apiservers 3
  kubeherd up --dashboard              and see it in a browser
  kubeherd up --profile kind           what a fresh cluster of kind shows: coredns and so on
  kubeherd up --listen 0.0.0.0         other machines reach it, and their nodes may join
  kubeherd up --dir /tmp/a --store memory --foreground
"""


@click.command(epilog=_UP_EPILOG)
@directory_option
@cluster_options
@click.option(
    "--accept-loss-after",
    type=click.IntRange(min=1),
    metavar="REVISION",
    help="Go on with a damaged store that can be read up to this revision; its files are kept.",
)
@click.option("--foreground", is_flag=True, help="Stay, and stop the cluster on Ctrl-C.")
@start_timeout_option()
@click.pass_context
def up(
    ctx: click.Context,
    /,
    rundir: RunDir,
    accept_loss_after: int | None,
    foreground: bool,
    timeout_s: float | None,
    **cluster: object,
) -> None:
    """Start a cluster, or bring a stopped one back with its nodes and objects.

    Returns when the API server answers and every node is Ready; the processes stay. Interrupted
    before that, it stops what it started.
    """
    wanted = Wanted.read(ctx, cluster)
    wish = Wish(
        rundir=rundir,
        new=wanted.new(),
        changed=lambda stored: wanted.changed(rundir, stored),
        found=lambda settings: _check_joined(rundir, settings),
        timeout_s=timeout_s,
        foreground=foreground,
        accept_loss_after=accept_loss_after,
    )
    bring_up(wish, lambda settings: _explain(rundir, settings))


@click.command(
    epilog="""\b
Examples:
  kubeherd down
  kubeherd down --purge     deletes the cluster as well
"""
)
@directory_option
@click.option("--purge", is_flag=True, help="Delete what kubeherd made in the directory, and it.")
def down(rundir: RunDir, purge: bool) -> None:
    """Stop every process of a cluster in order. Does nothing if it is stopped already."""
    with Interrupts() as interrupts:
        try:
            if rundir.is_ours():
                stop(rundir)
                interrupts.check()
                if purge:
                    _purge(rundir)
            else:
                _stop_strays(rundir)
        except KeyboardInterrupt:
            again = command_line("down", rundir)
            raise interrupted(f"interrupted: {again} goes on", interrupts.exit_code) from None


def _stop_strays(rundir: RunDir) -> None:
    """There is no cluster: end what is left of one that was."""
    if lifecycle.shut_down(rundir, lambda _state: None):
        say(f"stopped the processes of a cluster that was in {rundir.root}")
    elif rundir.root.exists():
        raise LauncherError(f"{rundir.root} is not the directory of a cluster")
    else:
        say(f"there is no cluster in {rundir.root}")


def _purge(rundir: RunDir) -> None:
    left = rundir.purge()
    if left:
        say(f"deleted the cluster in {rundir.root}; not made by kubeherd and left: {names(left)}")
    elif rundir.root.exists():
        say(f"deleted the cluster in {rundir.root}; the directory was there before it, and stays")
    else:
        say(f"deleted {rundir.root}")
    if rundir.named.is_symlink():
        say(f"the symbolic link {rundir.named} was not made by kubeherd and is left")


def _check_joined(rundir: RunDir, settings: Settings) -> None:
    """LauncherError if nodes of a cluster that is elsewhere have no certificates any more."""
    if settings.joined:
        from kubeherd.cluster.launcher.joining import nodes  # noqa: PLC0415 - few join

        nodes.check_identities(rundir, settings.joined, settings.node_names)


def _explain(rundir: RunDir, settings: Settings) -> None:
    if settings.joined:
        say(f"{count(len(settings.nodes), 'node')} of {settings.joined} run here.")
        return
    out.print(f"The cluster is up: {count(len(settings.nodes), 'node')}, seed {settings.seed}.")
    out.print(f"  export KUBECONFIG={shlex.quote(str(rundir.kubeconfig))}", markup=False)
    out.print("  kubectl get nodes")
    if settings.dashboard:
        _explain_dashboard(rundir)
    if settings.is_exposed:
        _explain_exposure(rundir, settings)
    if settings.exec is ExecKind.LOCAL:
        warn(
            "kubectl exec runs commands on this machine, as you (--exec local): "
            "whoever may exec into a pod may do what you may"
        )


def _explain_dashboard(rundir: RunDir) -> None:
    """Where it is: the address is made anew for this line, and good once."""
    from kubeherd.cluster.launcher import dashboard  # noqa: PLC0415 - few clusters have one

    out.print(f"  {dashboard.address(rundir)}", markup=False)


def _explain_exposure(rundir: RunDir, settings: Settings) -> None:
    """Who can reach the cluster, and what protects it."""
    warn(f"other machines reach the API server, at {settings.public_server}")
    for line in (
        "without a certificate or token of this cluster they see its health and version, and",
        f"may do nothing; {rundir.kubeconfig} may do everything: keep it to yourself.",
        f"Nodes of other machines join with `kubeherd token create{directory_given(rundir)} "
        "--print-join-command`.",
    ):
        err.print(f"  {line}", markup=False, soft_wrap=True)
