"""The options of `kubeherd up` that say what cluster is wanted, and what becomes of them.

A new cluster gets them all; one that was up before keeps its settings but for those that were given
now, on the command line or in the environment.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from kubeherd.cluster.cli import etcdoptions
from kubeherd.cluster.cli.output import warn
from kubeherd.cluster.launcher import addresses, lifecycle
from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import (
    MAX_APISERVERS,
    MAX_CONTROLLERS,
    MAX_NODES,
    MAX_PORT,
    MAX_SEED,
    MAX_SPEED,
    MIN_SPEED,
    ClusterOptions,
    ExecKind,
    Profile,
    Recorded,
    Settings,
    StoreKind,
)

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--nodes",
        type=click.IntRange(0, MAX_NODES),
        default=3,
        show_default=True,
        envvar="KUBEHERD_NODES",
        show_envvar=True,
        help="Number of nodes of a new cluster.",
    ),
    click.option(
        "--nodes-per-agent",
        type=click.IntRange(1, MAX_NODES),
        default=1,
        show_default=True,
        envvar="KUBEHERD_NODES_PER_AGENT",
        show_envvar=True,
        help="Nodes that share one agent process.",
    ),
    click.option(
        "--controllers",
        type=click.IntRange(1, MAX_CONTROLLERS),
        default=1,
        show_default=True,
        envvar="KUBEHERD_CONTROLLERS",
        show_envvar=True,
        help="Number of controller managers: one leads, the others stand by.",
    ),
    click.option(
        "--profile",
        type=click.Choice([profile.value for profile in Profile]),
        default="bare",
        show_default=True,
        envvar="KUBEHERD_PROFILE",
        show_envvar=True,
        help="What a new cluster has besides its nodes; kind: a control-plane node more, and what "
        "runs in a fresh cluster of kind.",
    ),
    click.option(
        "--store",
        type=click.Choice([kind.value for kind in StoreKind]),
        default="sqlite",
        show_default=True,
        envvar="KUBEHERD_STORE",
        show_envvar=True,
        help="Where objects are kept; etcd: one of its own, or that of --etcd-endpoints.",
    ),
    click.option(
        "--apiservers",
        type=click.IntRange(1, MAX_APISERVERS),
        default=1,
        show_default=True,
        envvar="KUBEHERD_APISERVERS",
        show_envvar=True,
        help="Number of API servers, which share an etcd and a port.",
    ),
    *etcdoptions.OPTIONS,
    click.option(
        "--listen",
        default=LOOPBACK,
        metavar="ADDRESS",
        show_default=True,
        envvar="KUBEHERD_LISTEN",
        show_envvar=True,
        help="Address on which the API server listens; 0.0.0.0: all. Beyond loopback, other "
        "machines reach it.",
    ),
    click.option(
        "--advertise-address",
        default="",
        metavar="HOST",
        envvar="KUBEHERD_ADVERTISE_ADDRESS",
        show_envvar=True,
        help="Address or name by which others find it.  [default: that on which it listens]",
    ),
    click.option(
        "--cert-san",
        "cert_sans",
        multiple=True,
        metavar="HOST",
        envvar="KUBEHERD_CERT_SANS",
        show_envvar=True,
        help="One more address or name in its certificate; repeatable.",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, MAX_PORT),
        envvar="KUBEHERD_PORT",
        show_envvar=True,
        help="Port of the API server.  [default: a free one, kept]",
    ),
    click.option(
        "--speed",
        type=click.FloatRange(MIN_SPEED, MAX_SPEED),
        default=1.0,
        show_default=True,
        envvar="KUBEHERD_SPEED",
        show_envvar=True,
        help="Shorten every wait of the cluster by this factor.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, MAX_SEED),
        envvar="KUBEHERD_SEED",
        show_envvar=True,
        help="Seed of every random decision.  [default: random, kept]",
    ),
    click.option(
        "--exec",
        type=click.Choice([kind.value for kind in ExecKind]),
        default="script",
        show_default=True,
        envvar="KUBEHERD_EXEC",
        show_envvar=True,
        help="Who answers kubectl exec: the pod's annotations, or a process of yours on this "
        "machine.",
    ),
    click.option(
        "--audit-policy",
        type=click.Path(path_type=str),
        default="",
        metavar="FILE",
        envvar="KUBEHERD_AUDIT_POLICY",
        show_envvar=True,
        help="Log requests to DIR/logs/audit.log as this policy says; an empty name ends that.",
    ),
    click.option(
        "--record",
        type=click.Choice([one.value for one in Recorded]),
        default="nothing",
        is_flag=False,
        flag_value="writes",
        show_default=True,
        envvar="KUBEHERD_RECORD",
        show_envvar=True,
        help="Keep the history of the cluster in DIR/history.jsonl: alone, its writes.",
    ),
    click.option(
        "--dashboard/--no-dashboard",
        default=False,
        envvar="KUBEHERD_DASHBOARD",
        show_envvar=True,
        help="A process that shows the cluster in a browser; its address is printed.",
    ),
)
_FOR_LIFE = frozenset({"profile", "store"})
_CHANGEABLE = frozenset({*ClusterOptions.__struct_fields__, "port", "seed"}) - _FOR_LIFE
"""What a stopped cluster takes over."""


def cluster_options(function: F) -> F:
    """All options of a cluster, handed on by the names of the fields of `Wanted`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Wanted(ClusterOptions, frozen=True, kw_only=True):
    """The cluster that was asked for; `given`: the fields that do not just have their defaults."""

    nodes: int
    port: int | None
    seed: int | None
    given: frozenset[str]

    @classmethod
    def read(cls, ctx: click.Context, options: Mapping[str, object]) -> "Wanted":
        """From the values of `cluster_options`; LauncherError for a file that is no policy."""
        default = ParameterSource.DEFAULT
        given = [name for name in options if ctx.get_parameter_source(name) is not default]
        read = {
            **options,
            "audit_policy": _audit_policy(str(options["audit_policy"])),
            **etcdoptions.read(options),
        }
        if options["listen"] != LOOPBACK:
            read["listen"] = addresses.check_listen(str(options["listen"]))
        return msgspec.convert({**read, "given": given}, cls)

    def new(self) -> Settings:
        """The settings of a new cluster."""
        return lifecycle.new_settings(self, nodes=self.nodes, port=self.port, seed=self.seed)

    def changed(self, rundir: RunDir, stored: Settings) -> Settings:
        """The settings of a stopped cluster with what was given now; LauncherError for what cannot
        be changed."""
        self._check(rundir, stored)
        changes = {name: getattr(self, name) for name in _CHANGEABLE & self.given}
        return msgspec.structs.replace(stored, **changes)

    def _check(self, rundir: RunDir, stored: Settings) -> None:
        """Say where options contradict the settings of a stopped cluster; raise if badly."""
        if stored.joined and self.given:
            raise LauncherError(
                f"{rundir.root} has nodes of the cluster at {stored.joined}, which alone says how "
                "it is: bring them back without options of a cluster"
            )
        if "store" in self.given and self.store is not stored.store:
            raise LauncherError(
                f"the cluster in {rundir.root} keeps its objects in the {stored.store} store; "
                "`kubeherd down --purge` deletes it"
            )
        if "etcd_endpoints" in self.given and bool(self.etcd_endpoints) == stored.has_own_etcd:
            whose = "an etcd of its own" if stored.has_own_etcd else "an etcd that was given"
            raise LauncherError(
                f"the cluster in {rundir.root} keeps its objects in {whose}; "
                "`kubeherd down --purge` deletes it"
            )
        if "profile" in self.given and self.profile is not stored.profile:
            raise LauncherError(
                f"the cluster in {rundir.root} was made with the profile {stored.profile}; "
                "`kubeherd down --purge` deletes it"
            )
        there = len(stored.nodes) - bool(stored.control_plane)
        if "nodes" in self.given and self.nodes != there:
            warn(
                f"the cluster in {rundir.root} has {there} nodes; --nodes {self.nodes} is "
                "ignored (use `kubeherd node add` and `kubeherd node rm`)"
            )


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
