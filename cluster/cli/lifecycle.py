"""`kubeherd up` and `kubeherd down`: a cluster as a whole."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from kubeherd.cluster.cli.interrupts import Interrupts, deferred
from kubeherd.cluster.cli.options import directory_option, timeout_option
from kubeherd.cluster.cli.output import Steps, interrupted, out, say, steps, warn
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import (
    MAX_NODES,
    MAX_PORT,
    MAX_SEED,
    MAX_SPEED,
    MIN_SPEED,
    ExecKind,
    Profile,
    Settings,
    StoreKind,
)
from kubeherd.cluster.launcher.state import ClusterState

_KEPT_OPTIONS = (
    "nodes", "nodes_per_agent", "profile", "store", "port", "speed", "seed", "exec_kind",
    "audit_policy",
)  # fmt: skip
_UP_EPILOG = """\b
Examples:
  kubeherd up                          three nodes, in ./.kubeherd
  kubeherd up --nodes 50 --speed 10    ten times faster than the clock on the wall
  kubeherd up --nodes 1000 --nodes-per-agent 100
  kubeherd up --profile kind           what a fresh cluster of kind shows: coredns and so on
  kubeherd up --dir /tmp/a --store memory --foreground
"""


@click.command(epilog=_UP_EPILOG)
@directory_option
@click.option(
    "--nodes",
    type=click.IntRange(0, MAX_NODES),
    default=3,
    show_default=True,
    envvar="KUBEHERD_NODES",
    show_envvar=True,
    help="Number of nodes of a new cluster.",
)
@click.option(
    "--nodes-per-agent",
    type=click.IntRange(1, MAX_NODES),
    default=1,
    show_default=True,
    envvar="KUBEHERD_NODES_PER_AGENT",
    show_envvar=True,
    help="Nodes that share one agent process.",
)
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    default="bare",
    show_default=True,
    envvar="KUBEHERD_PROFILE",
    show_envvar=True,
    help="What a new cluster has besides its nodes; kind: a control-plane node more, and what runs "
    "in a fresh cluster of kind.",
)
@click.option(
    "--store",
    type=click.Choice([kind.value for kind in StoreKind]),
    default="sqlite",
    show_default=True,
    envvar="KUBEHERD_STORE",
    show_envvar=True,
    help="Where objects are kept.",
)
@click.option(
    "--port",
    type=click.IntRange(1, MAX_PORT),
    envvar="KUBEHERD_PORT",
    show_envvar=True,
    help="Port of the API server.  [default: a free one, kept]",
)
@click.option(
    "--speed",
    type=click.FloatRange(MIN_SPEED, MAX_SPEED),
    default=1.0,
    show_default=True,
    envvar="KUBEHERD_SPEED",
    show_envvar=True,
    help="Shorten every wait of the cluster by this factor.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    envvar="KUBEHERD_SEED",
    show_envvar=True,
    help="Seed of every random decision.  [default: random, kept]",
)
@click.option(
    "--exec",
    "exec_kind",
    type=click.Choice([kind.value for kind in ExecKind]),
    default="script",
    show_default=True,
    envvar="KUBEHERD_EXEC",
    show_envvar=True,
    help="Who answers kubectl exec: the pod's annotations, or a process of yours on this machine.",
)
@click.option(
    "--audit-policy",
    type=click.Path(path_type=str),
    default="",
    metavar="FILE",
    envvar="KUBEHERD_AUDIT_POLICY",
    show_envvar=True,
    help="Log requests to DIR/logs/audit.log as this policy says; an empty name ends that.",
)
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
    rundir: RunDir,
    nodes: int,
    nodes_per_agent: int,
    profile: str,
    store: str,
    port: int | None,
    speed: float,
    seed: int | None,
    exec_kind: str,
    audit_policy: str,
    accept_loss_after: int | None,
    foreground: bool,
    timeout_s: float,
) -> None:
    """Start a cluster, or bring a stopped one back with its nodes and objects.

    Returns when the API server answers and every node is Ready; the processes stay. Interrupted
    before that, it stops what it started.
    """
    audit_policy = _audit_policy(audit_policy)
    given = {
        name
        for name in _KEPT_OPTIONS
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }

    def changed(stored: Settings) -> Settings:
        _check_against(rundir, stored, given, nodes, StoreKind(store))
        _check_profile(rundir, stored, Profile(profile) if "profile" in given else stored.profile)
        wanted = {
            "nodes_per_agent": nodes_per_agent, "port": port, "speed": speed, "seed": seed,
            "audit_policy": audit_policy,
        }  # fmt: skip
        changes: dict[str, object] = {
            name: value for name, value in wanted.items() if name in given
        }
        if "exec_kind" in given:
            changes["exec"] = ExecKind(exec_kind)
        return msgspec.structs.replace(stored, **changes)

    new = lifecycle.new_settings(
        nodes=nodes,
        nodes_per_agent=nodes_per_agent,
        profile=Profile(profile),
        store=StoreKind(store),
        exec_kind=ExecKind(exec_kind),
        audit_policy=audit_policy,
        port=port,
        speed=speed,
        seed=seed,
    )
    with Interrupts() as interrupts:
        start = _Start(
            rundir,
            timeout_s,
            follow_pid=os.getpid() if foreground else None,
            accept_loss_after=accept_loss_after,
            check=interrupts.check,
        )
        try:
            settings = start.run(new, changed)
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


def _audit_policy(file: str) -> str:
    """The whole name of a policy's file, "" for none; LauncherError if it is no policy."""
    if not file:
        return ""
    from kubeherd.cluster.api import auditpolicy  # noqa: PLC0415 - seldom asked for

    path = Path(file).resolve()
    try:
        auditpolicy.load(path.read_bytes())
    except OSError as error:
        raise LauncherError(f"cannot read {path}: {error.strerror}") from None
    except auditpolicy.PolicyError as error:
        raise LauncherError(f"{path} is no audit policy: {error}") from None
    return str(path)


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


def _check_against(
    rundir: RunDir, settings: Settings, given: set[str], nodes: int, store: StoreKind
) -> None:
    """Say where options contradict the settings of a stopped cluster; LauncherError if badly."""
    if "store" in given and store is not settings.store:
        raise LauncherError(
            f"the cluster in {rundir.root} keeps its objects in the {settings.store} store; "
            "`kubeherd down --purge` deletes it"
        )
    there = len(settings.nodes) - bool(settings.control_plane)
    if "nodes" in given and nodes != there:
        warn(
            f"the cluster in {rundir.root} has {there} nodes; --nodes {nodes} is "
            "ignored (use `kubeherd node add` and `kubeherd node rm`)"
        )


def _check_profile(rundir: RunDir, settings: Settings, wanted: Profile) -> None:
    """LauncherError for a stopped cluster that was made with another profile."""
    if wanted is not settings.profile:
        raise LauncherError(
            f"the cluster in {rundir.root} was made with the profile {settings.profile}; "
            "`kubeherd down --purge` deletes it"
        )


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
            settings = lifecycle.begin(
                self._rundir,
                new,
                change=changed,
                follow_pid=self._follow_pid,
                accept_loss_after=self._accept_loss_after,
                started=self._has_begun,
            )
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
        waiting = state.waiting if ready == len(agents) else ""
        self._steps.doing(
            f"waiting for {waiting}" if waiting else f"agents running: {ready} of {len(agents)}"
        )


def _explain(rundir: RunDir, settings: Settings) -> None:
    out.print(f"The cluster is up: {_count(len(settings.nodes), 'node')}, seed {settings.seed}.")
    out.print(f"  export KUBECONFIG={shlex.quote(str(rundir.kubeconfig))}", markup=False)
    out.print("  kubectl get nodes")
    if settings.exec is ExecKind.LOCAL:
        warn(
            "kubectl exec runs commands on this machine, as you (--exec local): "
            "whoever may exec into a pod may do what you may"
        )


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
