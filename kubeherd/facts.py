"""What `Cluster` and `AsyncCluster` have in common: settings, facts, and the making of a cluster.

Everything here blocks; `AsyncCluster` calls it in a thread. Not public.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.settings import (
    MAX_APISERVERS,
    MAX_CONTROLLERS,
    ClusterOptions,
    ExecKind,
    Profile,
    Recorded,
    Settings,
    StoreKind,
)
from kubeherd.errors import KubeherdError, LauncherError

if TYPE_CHECKING:
    from kubeherd.faults import Clients, Effect, Fault
    from kubeherd.inforce import InForce

PORT_ATTEMPTS = 3


class Process(msgspec.Struct, frozen=True):
    """A process of a cluster, as it was when it was asked for.

    `name` is `apiserver` or `controller-manager` (`apiserver-2` ...), `etcd`, or that of an agent
    (with one node to a process: the node's name). `pid` is 0 and `phase` says why while it does not
    run. `restarts` counts how often it was started again after a crash.
    """

    name: str
    pid: int
    phase: str
    ready: bool
    restarts: int
    nodes: tuple[str, ...]


Names: TypeAlias = list[str]
Faults: TypeAlias = "list[Fault]"
Processes: TypeAlias = list[Process]


class ClusterFacts:
    """The settings of a cluster, and what can be said and done without its API."""

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        nodes: int = 3,
        nodes_per_agent: int = 1,
        controllers: int = 1,
        apiservers: int = 1,
        profile: str = "bare",
        store: str | None = None,
        etcd_endpoints: Sequence[str] = (),
        exec: str = "script",  # noqa: A002 - as the option of `up`
        record: str = "nothing",
        port: int | None = None,
        speed: float = 1.0,
        seed: int | None = None,
        detached: bool = False,
    ) -> None:
        """See the class. KubeherdError for values that make no cluster."""
        if nodes < 0 or nodes_per_agent < 1 or not speed >= 1e-3:
            raise KubeherdError(
                "a cluster needs nodes >= 0, nodes_per_agent >= 1 and speed >= 0.001"
            )
        if not 1 <= controllers <= MAX_CONTROLLERS:
            raise KubeherdError(f"controllers is a number from 1 to {MAX_CONTROLLERS}")
        if not 1 <= apiservers <= MAX_APISERVERS:
            raise KubeherdError(f"apiservers is a number from 1 to {MAX_APISERVERS}")
        try:
            kind = StoreKind(store or ("memory" if directory is None else "sqlite"))
        except ValueError:
            raise KubeherdError(f'store is "sqlite", "memory" or "etcd", not "{store}"') from None
        if kind is not StoreKind.ETCD and (apiservers > 1 or etcd_endpoints):
            raise KubeherdError('several API servers, or an etcd, need store="etcd"')
        try:
            answers = ExecKind(exec)
        except ValueError:
            raise KubeherdError(f'exec is "script" or "local", not "{exec}"') from None
        try:
            shape = Profile(profile)
        except ValueError:
            raise KubeherdError(f'profile is "bare" or "kind", not "{profile}"') from None
        try:
            recorded = Recorded(record)
        except ValueError:
            raise KubeherdError(
                f'record is "nothing", "writes" or "requests", not "{record}"'
            ) from None
        self._directory = None if directory is None else RunDir(Path(directory))
        self._port_is_ours_to_choose = port is None
        self._settings = lifecycle.new_settings(
            ClusterOptions(
                nodes_per_agent=nodes_per_agent,
                controllers=controllers,
                apiservers=apiservers,
                profile=shape,
                store=kind,
                etcd_endpoints=tuple(etcd_endpoints),
                exec=answers,
                record=recorded,
                speed=speed,
            ),
            nodes=nodes,
            port=port,
            seed=seed,
        )
        self._detached = detached
        self._temporary: RunDir | None = None

    def __repr__(self) -> str:
        rundir = self._directory or self._temporary
        return f"<{type(self).__name__} in {rundir.root if rundir else 'no directory yet'}>"

    @property
    def directory(self) -> Path:
        """The directory that holds everything of the cluster."""
        return self._rundir.root

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for kubectl and every client library."""
        return self._rundir.kubeconfig

    @property
    def history(self) -> Path:
        """The history of the run, which is there if `record` asked for it."""
        return self._rundir.history

    @property
    def logs(self) -> Path:
        """The directory of the processes' logs, `NAME.log`, JSON lines."""
        return self._rundir.logs

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self._current().server

    @property
    def speed(self) -> float:
        """By how much every wait of the cluster is shortened."""
        return self._current().speed

    @property
    def seed(self) -> int:
        """The seed of every random decision."""
        return self._current().seed

    @property
    def node_names(self) -> list[str]:
        """The names of all nodes, dead ones too, in the order in which they were added."""
        return self._current().node_names

    @property
    def _rundir(self) -> RunDir:
        rundir = self._directory or self._temporary
        if rundir is None:
            raise KubeherdError("the cluster has not been started: it has no directory yet")
        return rundir

    @property
    def _handle(self) -> ClusterHandle:
        return ClusterHandle(self._rundir.root, self._settings, detached=self._detached)

    def _current(self) -> Settings:
        rundir = self._directory or self._temporary
        return rundir.load_settings() if rundir and rundir.exists() else self._settings

    def _start(self) -> None:
        if self._directory is not None and self._directory.locked():
            raise LauncherError(f"the cluster in {self._directory.root} is already running")
        if self._directory is None and self._temporary is None:
            self._temporary = RunDir(Path(tempfile.mkdtemp(prefix="kubeherd-")))
        try:
            self._up()
        except BaseException:
            with suppress(LauncherError):
                self._stop()
            raise

    def _up(self) -> None:
        """Up, on another port if somebody took the one that was free when it was chosen."""
        may_choose = self._port_is_ours_to_choose and not self._rundir.exists()
        for left in reversed(range(PORT_ATTEMPTS)):
            try:
                self._handle.up()
            except LauncherError:
                if not left or not may_choose or lifecycle.port_is_free(self._settings.port):
                    raise
                self._handle.down()
                self._settings = lifecycle.on_another_port(self._settings)
                if self._rundir.exists():
                    self._rundir.save_settings(self._settings)
            else:
                return

    def _stop(self) -> None:
        rundir = self._directory or self._temporary
        if rundir is None:
            return
        self._handle.down()
        if self._temporary is not None:
            shutil.rmtree(rundir.root, ignore_errors=True)
            self._temporary = None

    def _node(self, op: Op, nodes: Sequence[str], count: int = 0) -> list[str]:
        return list(self._handle.node(op, *nodes, count=count))

    def _processes(self) -> list[Process]:
        return [
            Process(
                name=found.name,
                pid=found.process.pid if found.process is not None else 0,
                phase=str(found.phase),
                ready=found.ready,
                restarts=found.restarts,
                nodes=found.nodes,
            )
            for found in self._handle.state().processes
        ]

    def _fault(
        self,
        effect: "Effect",
        nodes: str | Sequence[str],
        component: str,
        clients: "Clients | None",
        for_s: float,
    ) -> "InForce":
        from kubeherd.faults import Component, Fault, FaultError, Nodes  # noqa: PLC0415 - most
        from kubeherd.inforce import InForce  # noqa: PLC0415 - programs hurt nothing

        names = (nodes,) if isinstance(nodes, str) else tuple(nodes)
        named = (Nodes(names) if names else None, Component(component) if component else None)
        targets = [target for target in (*named, clients) if target is not None]
        if len(targets) != 1:
            raise KubeherdError("a fault hurts either nodes, a component or clients")
        until = time.time() + for_s / self.speed if for_s else 0.0
        fault = Fault(id=effect.kind, target=targets[0], effect=effect, until=until)
        try:
            fault.check()
        except FaultError as error:
            raise KubeherdError(str(error)) from None
        (begun,) = self._handle.hurt(fault)
        return InForce(self._handle, begun)
