"""Which processes a cluster consists of, and when a crashed one is started again. Pure.

The order of `processes` is the order of starting; stopping goes the other way.
"""

import enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kubeherd.cluster.launcher import addresses
from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import (
    DASHBOARD,
    ETCD,
    ExecKind,
    Recorded,
    Settings,
    StoreKind,
)

if TYPE_CHECKING:  # who only wants to know what runs draws nothing
    from kubeherd.cluster.runtime.rng import Rng

RESTART_BASE_S = 0.1
RESTART_CAP_S = 10.0
SERVED_WELL_S = 2.0
"""A process that served this long had no trouble starting: it comes back at once."""
_CONTROL_PLANE_TAINT = "node-role.kubernetes.io/control-plane"
_MEMBER = "kubeherd"
"""The name of etcd's only member, to itself."""
_ETCD_BYTES = 8 * 1024**3
"""So large may etcd's file become; more it does not advise."""
FAILED_STARTS_LIMIT = 3
"""So many exits before the first readiness fail the start of the cluster."""


class Role(enum.StrEnum):
    """What a process is for."""

    ETCD = "etcd"
    APISERVER = "apiserver"
    CONTROLLER_MANAGER = "controller-manager"
    AGENT = "agent"
    DASHBOARD = "dashboard"


_OBEYING_SPEED = frozenset({Role.APISERVER, Role.CONTROLLER_MANAGER, Role.AGENT})


class Phase(enum.StrEnum):
    """Where a process is in its life."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    FROZEN = "frozen"
    BACKOFF = "backoff"


class ProcessSpec(msgspec.Struct, frozen=True):
    """A process that should run: `python -m module args...`, or, without a module, an etcd."""

    name: str
    role: Role
    module: str
    args: tuple[str, ...]
    log: Path
    nodes: tuple[str, ...] = ()
    port: int = 0
    """Where it is asked whether it serves, if it does not say so itself."""


def processes(settings: Settings, rundir: RunDir) -> list[ProcessSpec]:
    """The processes of a cluster with these settings, in the order of starting."""
    return [
        *((etcd(settings, rundir),) if settings.has_own_etcd else ()),
        *api_servers(settings, rundir),
        *controller_managers(settings, rundir),
        *(agent(settings, rundir, name) for name in settings.agents()),
        *((dashboard(rundir),) if settings.dashboard else ()),
    ]


def obeying_speed(settings: Settings, rundir: RunDir) -> list[ProcessSpec]:
    """Those of `processes` whose time goes at the cluster's speed."""
    return [one for one in processes(settings, rundir) if one.role in _OBEYING_SPEED]


def etcd(settings: Settings, rundir: RunDir) -> ProcessSpec:
    """The cluster's own etcd: one member, for this machine only, and for who has a certificate of
    its authority. What is past is compacted by the API servers."""
    clients = addresses.url(LOOPBACK, settings.etcd_port)
    peers = addresses.url(LOOPBACK, settings.etcd_peer_port)
    authority, certificate, key = (
        str(rundir.pki / name) for name in ("etcd-ca.crt", "etcd-server.crt", "etcd-server.key")
    )
    options = {
        "name": _MEMBER,
        "data-dir": str(rundir.etcd),
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"{_MEMBER}={peers}",
        "heartbeat-interval": "20",  # it has nobody to wait for
        "election-timeout": "200",
        "quota-backend-bytes": str(_ETCD_BYTES),
        "logger": "zap",
        **{f"{who}trusted-ca-file": authority for who in ("", "peer-")},
        **{f"{who}cert-file": certificate for who in ("", "peer-")},
        **{f"{who}key-file": key for who in ("", "peer-")},
    }
    return ProcessSpec(
        name=ETCD,
        role=Role.ETCD,
        module="",
        args=(
            *(f"--{name}={value}" for name, value in options.items()),
            *("--client-cert-auth", "--peer-client-cert-auth"),
        ),
        log=rundir.log(ETCD),
        port=settings.etcd_port,
    )


def api_servers(
    settings: Settings, rundir: RunDir, accept_loss_after: int | None = None
) -> list[ProcessSpec]:
    """The API servers; `accept_loss_after`: the revision after which their store may have lost.

    One listens where clients look for it. Several listen there, too, on a socket that the
    supervisor gives them, and each on a port of its own.
    """
    return [_api_server(settings, rundir, name, accept_loss_after) for name in settings.api_servers]


def _api_server(
    settings: Settings, rundir: RunDir, name: str, accept_loss_after: int | None
) -> ProcessSpec:
    place = ("--dir", str(rundir.root), *_listening(settings, rundir, name))
    store = ("--store", settings.store, *_etcd_options(settings, rundir))
    local = ("--exec-local",) if settings.exec is ExecKind.LOCAL else ()
    audit = ("--audit-policy", settings.audit_policy) if settings.audit_policy else ()
    history = str(rundir.history_of(name))
    record = () if settings.record is Recorded.NOTHING else ("--record", history)
    requests = ("--record-requests",) if settings.record is Recorded.REQUESTS else ()
    loss: tuple[str, ...] = ()
    if accept_loss_after is not None:
        loss = ("--accept-loss-after", str(accept_loss_after))
    return ProcessSpec(
        name=name,
        role=Role.APISERVER,
        module="kubeherd.cluster.apiserver",
        args=(*place, *store, *loss, *local, *audit, *record, *requests, *_common(settings)),
        log=rundir.log(name),
    )


def _listening(settings: Settings, rundir: RunDir, name: str) -> tuple[str, ...]:
    if settings.apiservers > 1:
        return ("--name", name, "--port", "0", "--front", str(rundir.front))
    open_to = () if settings.listen == LOOPBACK else ("--bind-address", settings.listen)
    return ("--port", str(settings.port), *open_to)


def _etcd_options(settings: Settings, rundir: RunDir) -> tuple[str, ...]:
    """Where the objects are, if they are in an etcd; named as kube-apiserver's."""
    if settings.store is not StoreKind.ETCD:
        return ()
    if settings.has_own_etcd:
        servers = addresses.url(LOOPBACK, settings.etcd_port)
        files = [f"{rundir.pki}/etcd-{file}" for file in ("ca.crt", "client.crt", "client.key")]
    else:
        servers = ",".join(settings.etcd_endpoints)
        files = [settings.etcd_cafile, settings.etcd_certfile, settings.etcd_keyfile]
    named = zip(("--etcd-cafile", "--etcd-certfile", "--etcd-keyfile"), files, strict=True)
    return ("--etcd-servers", servers, *(word for pair in named if pair[1] for word in pair))


def controller_managers(settings: Settings, rundir: RunDir) -> list[ProcessSpec]:
    """The controller managers, which elect the one that acts; each has the scheduler, too."""
    return [_controller_manager(settings, rundir, name) for name in settings.controller_managers]


def _controller_manager(settings: Settings, rundir: RunDir, name: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        role=Role.CONTROLLER_MANAGER,
        module="kubeherd.controller",
        args=(
            *("--kubeconfig", str(rundir.controller_kubeconfig)),
            *("--scheduler-kubeconfig", str(rundir.scheduler_kubeconfig)),
            "--use-service-account-credentials",
            *("--cluster-signing-cert-file", str(rundir.pki / "ca.crt")),
            *("--cluster-signing-key-file", str(rundir.pki / "ca.key")),
            *("--service-account-private-key-file", str(rundir.pki / "sa.key")),
            *("--metrics-socket", str(rundir.metrics_socket(name))),
            *("--faults-socket", str(rundir.faults_socket(name))),
            *_common(settings),
        ),
        log=rundir.log(name),
    )


def agent(settings: Settings, rundir: RunDir, name: str, *, reboot: bool = False) -> ProcessSpec:
    """The agent process `name` with all its nodes; KeyError if the settings have none.

    `reboot`: the machines were rebooted before it starts.
    """
    nodes = settings.agents()[name]
    own: tuple[str, ...]
    if settings.has_fleets:
        own = ("--fleet-kubeconfig", str(rundir.fleet_kubeconfig(name)))
    else:
        own = ("--kubeconfig-dir", str(rundir.kubeconfigs))
    named = [word for node in nodes for word in ("--node", node)]
    control_plane = _control_plane(settings, rundir) if settings.control_plane in nodes else ()
    return ProcessSpec(
        name=name,
        role=Role.AGENT,
        module="kubeherd.agents",
        args=(
            *named,
            *own,
            *control_plane,
            *("--pod-log-dir", str(rundir.pod_logs)),
            *("--metrics-socket", str(rundir.metrics_socket(name))),
            *("--faults-socket", str(rundir.faults_socket(name))),
            *(("--reboot",) if reboot else ()),
            *_common(settings),
        ),
        log=rundir.log(name),
        nodes=tuple(nodes),
    )


def _control_plane(settings: Settings, rundir: RunDir) -> tuple[str, ...]:
    """What makes a node the control plane; without workers it takes their pods, as in kind."""
    alone = len(settings.nodes) == 1
    taint = () if alone else ("--taint", f"{_CONTROL_PLANE_TAINT}:NoSchedule")
    return (*taint, "--pod-manifest-path", str(rundir.manifests))


def dashboard(rundir: RunDir) -> ProcessSpec:
    """The process that shows the cluster in a browser."""
    return ProcessSpec(
        name=DASHBOARD,
        role=Role.DASHBOARD,
        module="kubeherd.dashboard",
        args=("--dir", str(rundir.root)),
        log=rundir.log(DASHBOARD),
    )


def failures_in_a_row(before: int, served_s: float, *, killed: bool) -> int:
    """How many lives in a row came to nothing, when another one ended that served `served_s`.

    Zero after one that served well, whatever ended it and however often that happens: the time for
    which nobody is served must not grow with the number of accidents. A life without service (0 s)
    or a short one is a failure, however long its start took; `killed` (SIGKILL) it is one, but adds
    to none before: that somebody kills, or the kernel has no memory, says nothing of whether the
    next start works, and who is killed again and again as it starts must not come back ever later.
    """
    if served_s >= SERVED_WELL_S:
        return 0
    return max(before, 1) if killed else before + 1


def restart_delay_s(failures: int, rng: "Rng") -> float:
    """Seconds to wait after so many failures in a row: doubling, capped, jittered; none after 0."""
    if failures == 0:
        return 0.0
    base_s: float = RESTART_BASE_S * 2 ** min(failures - 1, 30)
    return min(RESTART_CAP_S, base_s) * rng.uniform(0.5, 1.0)


def _common(settings: Settings) -> tuple[str, ...]:
    return ("--speed", f"{settings.speed:g}", "--seed", str(settings.seed))
