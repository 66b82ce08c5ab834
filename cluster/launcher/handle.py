"""A cluster in the hands of a program: what the command line does, as calls.

Used by the test fixture and the commands `demo`, `bench` and `chaos`. All calls block; async code
hands them to `asyncio.to_thread`. A context manager: at its end the cluster is stopped, and if the
program itself is killed the supervisor notices and stops the cluster.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from kubeherd.cluster.launcher import control, lifecycle
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc, warm
from kubeherd.cluster.launcher.settings import Settings, start_timeout_s
from kubeherd.cluster.launcher.state import ClusterState, ProcessState

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.view import ClusterView
    from kubeherd.faults import Fault

COMMAND_TIMEOUT_S = 90.0


class ClusterHandle:
    """One cluster in one directory. `settings` are used if the directory has no cluster yet.

    `detached`: it outlives the program.
    """

    def __init__(self, directory: Path, settings: Settings, *, detached: bool = False) -> None:
        self._follow_pid = None if detached else os.getpid()
        self.rundir = RunDir(directory)
        self.settings = settings

    def __enter__(self) -> "ClusterHandle":
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.down()

    def up(self) -> ClusterState:
        """Start the cluster; returns when all processes serve. LauncherError if they do not."""
        self.settings = lifecycle.begin(
            self.rundir,
            self.settings,
            follow_pid=self._follow_pid,
            warm_parent=warm.of_this_process(),
        )
        timeout_s = start_timeout_s(len(self.settings.nodes))
        return lifecycle.wait_until_up(self.rundir, timeout_s, lambda _state: None)

    def down(self) -> bool:
        """Stop the cluster; False if it did not run."""
        return lifecycle.shut_down(self.rundir, lambda _state: None)

    def view(self) -> "ClusterView":
        """A live view of the cluster's objects, with a client."""
        from kubeherd.cluster.launcher.view import ClusterView  # noqa: PLC0415 - 0.1 s of imports

        return ClusterView(self.rundir.kubeconfig)

    def node(self, op: Op, *nodes: str, count: int = 0) -> Sequence[str]:
        """A node command; returns the names of the nodes that it touched."""
        request = Request(op=op, nodes=nodes, count=count)
        return list(control.ask(self.rundir, request, COMMAND_TIMEOUT_S))[-1].nodes

    def hurt(self, *faults: "Fault") -> "list[Fault]":
        """Put faults in force, all or none; returns them with the names that they got."""
        from kubeherd.cluster.launcher.faults import asking  # noqa: PLC0415 - as all of faults

        return asking.begin(self.rundir, faults)

    def undo(self, *ids: str) -> "list[Fault]":
        """End these faults, or all; returns them once what they had ended serves again.

        One that is not there is over already.
        """
        from kubeherd.cluster.launcher.faults import asking  # noqa: PLC0415 - as all of faults

        return asking.undo(self.rundir, *ids)

    def faults(self) -> "list[Fault]":
        """The faults that are in force, oldest first."""
        from kubeherd.cluster.launcher.faults import asking  # noqa: PLC0415 - as all of faults

        return asking.listed(self.rundir)

    def state(self) -> ClusterState:
        """The state of the processes, now."""
        return lifecycle.current_state(self.rundir)[0]

    def process(self, name: str) -> ProcessState:
        """The state of one process; LauncherError if there is none of that name."""
        for process in self.state().processes:
            if process.name == name:
                return process
        raise LauncherError(f'no process "{name}"')

    def crash(self, role: Role | str) -> None:
        """SIGKILL a process behind the supervisor's back: it will be started again."""
        process = self.process(role).process
        if process is None or not osproc.send_signal(process, signal.SIGKILL):
            raise LauncherError(f"{role} does not run")
