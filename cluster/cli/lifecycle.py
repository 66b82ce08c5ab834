"""`kubeherd up` and `kubeherd down`: a cluster as a whole."""

import os
import shlex
from collections.abc import Callable, Sequence

import click

from kubeherd.cluster.cli.clusteroptions import Wanted, cluster_options
from kubeherd.cluster.cli.interrupts import Interrupts, deferred
from kubeherd.cluster.cli.options import directory_given, directory_option, timeout_option
from kubeherd.cluster.cli.output import Steps, err, interrupted, out, say, steps, warn
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import ExecKind, Profile, Settings
from kubeherd.cluster.launcher.state import ClusterState

_UP_EPILOG = """\b
Examples:
  kubeherd up                          three nodes, in ./.kubeherd
  kubeherd up --nodes 50 --speed 10    ten times faster than the clock on the wall
  kubeherd up --nodes 1000 --nodes-per-agent 100
  kubeherd up --controllers 2          one controller manager leads, the other stands by
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
@timeout_option(120)
@click.pass_context
def up(
    ctx: click.Context,
    /,
    rundir: RunDir,
    accept_loss_after: int | None,
    foreground: bool,
    timeout_s: float,
    **cluster: object,
) -> None:
    """Start a cluster, or bring a stopped one back with its nodes and objects.

    Returns when the API server answers and every node is Ready; the processes stay. Interrupted
    before that, it stops what it started.
    """
    wanted = Wanted.read(ctx, cluster)
    with Interrupts() as interrupts:
        start = _Start(
            rundir,
            timeout_s,
            follow_pid=os.getpid() if foreground else None,
            accept_loss_after=accept_loss_after,
            check=interrupts.check,
        )
        try:
            settings = start.run(wanted.new(), lambda stored: wanted.changed(rundir, stored))
            interrupts.check()
            _explain(rundir, settings)
            if foreground:
                _stay(rundir)
        except KeyboardInterrupt:
            raise interrupted(_give_up(rundir, begun=start.begun), interrupts.exit_code) from None


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
                _stop(rundir)
                interrupts.check()
                if purge:
                    _purge(rundir)
            else:
                _stop_strays(rundir)
        except KeyboardInterrupt:
            again = _command("down", rundir)
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
        say(f"deleted the cluster in {rundir.root}; not made by kubeherd and left: {_names(left)}")
    elif rundir.root.exists():
        say(f"deleted the cluster in {rundir.root}; the directory was there before it, and stays")
    else:
        say(f"deleted {rundir.root}")
    if rundir.named.is_symlink():
        say(f"the symbolic link {rundir.named} was not made by kubeherd and is left")


class _Start:
    """The start of a cluster. `begun`: this command has started it, and can stop it.

    `check` raises KeyboardInterrupt after a signal.
    """

    def __init__(
        self,
        rundir: RunDir,
        timeout_s: float,
        *,
        follow_pid: int | None,
        accept_loss_after: int | None,
        check: Callable[[], None],
    ) -> None:
        self._rundir = rundir
        self._timeout_s = timeout_s
        self._check = check
        self._follow_pid = follow_pid
        self._accept_loss_after = accept_loss_after
        self.begun = False

    def run(self, new: Settings, changed: Callable[[Settings], Settings]) -> Settings:
        """Start it and wait until all nodes are Ready; returns the settings that it has."""
        with steps("starting the processes") as progress:
            was_hurt = self._rundir.faults_json.exists()
            settings = lifecycle.begin(
                self._rundir,
                new,
                change=changed,
                follow_pid=self._follow_pid,
                accept_loss_after=self._accept_loss_after,
                started=self._has_begun,
            )
            if was_hurt:
                progress.done("its supervisor was killed; the faults that were in force are over")
            self._check()
            with deferred():
                from kubeherd.cluster.cli import api  # noqa: PLC0415 - loads while the processes start

            shown = _UpProgress(progress, settings, self._check)
            lifecycle.wait_until_up(self._rundir, self._timeout_s, shown.show)
            if settings.profile is not Profile.BARE:
                progress.done(f"profile {settings.profile}")
            count = len(settings.nodes)
            progress.doing("waiting for the nodes")
            api.wait_for_nodes(
                self._rundir,
                settings.node_names,
                self._timeout_s,
                lambda ready: progress.doing(f"nodes Ready: {ready} of {count}"),
            )
            progress.done(f"{_count(count, 'node')} Ready")
        return settings

    def _has_begun(self) -> None:
        self.begun = True


def _give_up(rundir: RunDir, *, begun: bool) -> str:
    """After a signal: stop what `up` has started; another signal ends that. What to tell."""
    try:
        if begun:
            lifecycle.shut_down(rundir, lambda _state: None)
    except (KeyboardInterrupt, LauncherError):
        pass
    if osproc.marked(rundir.root):
        stopping = _command("down", rundir)
        return f"interrupted: processes of the cluster go on; {stopping} stops them"
    return "interrupted" + (f": the cluster in {rundir.root} is stopped" if begun else "")


def _command(name: str, rundir: RunDir) -> str:
    return f"`kubeherd {name} --dir {shlex.quote(str(rundir.root))}`"


class _UpProgress:
    """Tells each thing once, as it happens."""

    def __init__(self, steps_: Steps, settings: Settings, check: Callable[[], None]) -> None:
        self._steps = steps_
        self._check = check
        self._settings = settings
        self._told: set[Role] = set()

    def show(self, state: ClusterState) -> None:
        self._check()
        managers = self._settings.controllers
        texts = {
            Role.APISERVER: f"API server at {self._settings.server}",
            Role.CONTROLLER_MANAGER: (
                "controller manager" if managers == 1 else f"{managers} controller managers"
            ),
        }
        for role, text in texts.items():
            serving = [process.ready for process in state.processes if process.role is role]
            if serving and all(serving) and role not in self._told:
                self._told.add(role)
                self._steps.done(text)
        agents = [p for p in state.processes if p.role is Role.AGENT]
        ready = sum(p.ready for p in agents)
        waiting = state.waiting if ready == len(agents) else ""
        self._steps.doing(
            f"waiting for {waiting}" if waiting else f"agents running: {ready} of {len(agents)}"
        )


def _explain(rundir: RunDir, settings: Settings) -> None:
    out.print(f"The cluster is up: {_count(len(settings.nodes), 'node')}, seed {settings.seed}.")
    out.print(f"  export KUBECONFIG={shlex.quote(str(rundir.kubeconfig))}", markup=False)
    out.print("  kubectl get nodes")
    if settings.is_exposed:
        _explain_exposure(rundir, settings)
    if settings.exec is ExecKind.LOCAL:
        warn(
            "kubectl exec runs commands on this machine, as you (--exec local): "
            "whoever may exec into a pod may do what you may"
        )


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


def _stay(rundir: RunDir) -> None:
    """Wait for Ctrl-C, SIGTERM, SIGHUP or the cluster's end, then stop everything."""
    try:
        say("Ctrl-C stops the cluster.")
        lifecycle.wait_for_end(rundir)
        return
    except KeyboardInterrupt:
        pass
    _stop(rundir)


def _stop(rundir: RunDir) -> None:
    with steps("stopping the processes") as progress:

        def show(state: ClusterState) -> None:
            left = _names([p.name for p in state.processes if p.process is not None])
            progress.doing(f"stopping {left}")

        if lifecycle.shut_down(rundir, show):
            progress.done("stopped")
        else:
            say(f"the cluster in {rundir.root} is not running")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
