"""Bringing the processes of a directory up, and taking them down: for `up`, `join` and `down`."""

import os
import shlex
from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.cli.interrupts import Interrupts, deferred
from kubeherd.cluster.cli.output import Steps, interrupted, say, steps
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import Profile, Settings, start_timeout_s
from kubeherd.cluster.launcher.state import ClusterState


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be brought up."""

    rundir: RunDir
    new: Settings
    """The settings, if nothing was ever up there."""
    changed: Callable[[Settings], Settings]
    """What becomes of the settings of what was."""
    found: Callable[[Settings], None] = lambda _settings: None
    """Called once with the settings that it gets, before anything is started."""
    timeout_s: float | None
    """None: as long as so many nodes may take."""
    foreground: bool
    accept_loss_after: int | None = None


def bring_up(wish: Wish, explain: Callable[[Settings], None]) -> None:
    """Start it, wait until all nodes are Ready, and say so with `explain`; in the foreground stay,
    and stop it after a signal. A signal before that stops what was started."""
    with Interrupts() as interrupts:
        start = _Start(wish, interrupts.check)
        try:
            settings = start.run()
            interrupts.check()
            explain(settings)
            if wish.foreground:
                _stay(wish.rundir, settings)
        except KeyboardInterrupt:
            given_up = _give_up(wish.rundir, begun=start.begun)
            raise interrupted(given_up, interrupts.exit_code) from None


class _Start:
    """The start of a cluster. `begun`: this command has started it, and can stop it.

    `check` raises KeyboardInterrupt after a signal.
    """

    def __init__(self, wish: Wish, check: Callable[[], None]) -> None:
        self._wish = wish
        self._rundir = wish.rundir
        self._check = check
        self.begun = False

    def run(self) -> Settings:
        """Start it and wait until all nodes are Ready; returns the settings that it has."""
        with steps("starting the processes") as progress:
            was_hurt = self._rundir.faults_json.exists()
            settings = self._begin(progress)
            if was_hurt:
                progress.done("its supervisor was killed; the faults that were in force are over")
            self._check()
            with deferred():
                from kubeherd.cluster.cli import api  # noqa: PLC0415 - loads while the processes start

            timeout_s = self._wish.timeout_s or start_timeout_s(len(settings.nodes))
            shown = _UpProgress(progress, settings, self._check)
            lifecycle.wait_until_up(self._rundir, timeout_s, shown.show)
            if settings.profile is not Profile.BARE:
                progress.done(f"profile {settings.profile}")
            nodes = len(settings.nodes)
            progress.doing("waiting for the nodes")
            api.wait_for_nodes(
                self._rundir,
                settings.node_names,
                timeout_s,
                lambda ready: progress.doing(f"nodes Ready: {ready} of {nodes}"),
            )
            progress.done(f"{count(nodes, 'node')} Ready")
        return settings

    def _begin(self, progress: Steps) -> Settings:
        def found(settings: Settings) -> None:
            progress.doing("asking the cluster")
            self._wish.found(settings)
            progress.doing("starting the processes")

        return lifecycle.begin(
            self._rundir,
            self._wish.new,
            change=self._wish.changed,
            found=found,
            follow_pid=os.getpid() if self._wish.foreground else None,
            accept_loss_after=self._wish.accept_loss_after,
            started=self._has_begun,
        )

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
        stopping = command_line("down", rundir)
        return f"interrupted: processes of the cluster go on; {stopping} stops them"
    return "interrupted" + (f": the cluster in {rundir.root} is stopped" if begun else "")


def command_line(name: str, rundir: RunDir) -> str:
    """How this command is given for a directory, to be shown."""
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
        managers, servers = self._settings.controllers, self._settings.apiservers
        texts = {
            Role.ETCD: "etcd",
            Role.APISERVER: (
                ("API server" if servers == 1 else f"{servers} API servers")
                + f" at {self._settings.server}"
            ),
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


def _stay(rundir: RunDir, settings: Settings) -> None:
    """Wait for Ctrl-C, SIGTERM, SIGHUP or the cluster's end, then stop everything."""
    try:
        say(f"Ctrl-C stops the {'nodes' if settings.joined else 'cluster'}.")
        lifecycle.wait_for_end(rundir)
        return
    except KeyboardInterrupt:
        pass
    stop(rundir)


def stop(rundir: RunDir) -> None:
    """Stop every process of a directory in order, and say so."""
    with steps("stopping the processes") as progress:

        def show(state: ClusterState) -> None:
            left = names([p.name for p in state.processes if p.process is not None])
            progress.doing(f"stopping {left}")

        if lifecycle.shut_down(rundir, show):
            progress.done("stopped")
        else:
            say(f"the cluster in {rundir.root} is not running")


def names(some: Sequence[str]) -> str:
    """Some names in a line."""
    return ", ".join(some[:4]) + (f" and {len(some) - 4} more" if len(some) > 4 else "")


def count(number: int, noun: str) -> str:
    """So many of them, in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
