"""Which certificates there are in a cluster's directory, and how good they are.

Names are those that people give to `kubeherd cert`: ``ca``, ``apiserver``, ``admin``,
``controller-manager``, ``scheduler``, each node or, where agents have several, each agent; and
``etcd-ca``, ``etcd`` and ``etcd-client``.
Nothing is changed here.
"""

import enum
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from kubeherd.cluster.client.kubeconfig import ClusterAccess, KubeconfigError, load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import lifetimes
from kubeherd.cluster.launcher.pki.authority import (
    ADMIN,
    CONTROLLER_MANAGER,
    SCHEDULER,
    Identity,
    fleet_identity,
    node_identity,
)
from kubeherd.cluster.launcher.pki.kubeconfigs import NAME
from kubeherd.cluster.launcher.settings import Settings

ETCD_AUTHORITY: Final = "etcd-ca"


class Kind(enum.StrEnum):
    """What a certificate is for."""

    AUTHORITY = "authority"
    SERVER = "server"
    CLIENT = "client"


class Item(msgspec.Struct, frozen=True):
    """One certificate: a file of its own, or in the kubeconfig of a client."""

    name: str
    kind: Kind
    path: Path
    identity: Identity = Identity("")
    """Of a client."""
    issuer: str = "ca"
    """The name of the authority that signs it."""


class State(enum.StrEnum):
    """How good a certificate is."""

    GOOD = "good"
    DUE = "due"
    """Good, but to be renewed."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    FOREIGN = "not of this authority"
    UNREADABLE = "unreadable"
    MISSING = "missing"


class Found(msgspec.Struct, frozen=True):
    """An item as it is; no certificate if it is missing or cannot be read: `problem` says why."""

    item: Item
    state: State
    certificate: x509.Certificate | None = None
    problem: str = ""


def authority_item(rundir: RunDir) -> Item:
    """The certificate authority."""
    return Item("ca", Kind.AUTHORITY, rundir.pki / "ca.crt")


def server_item(rundir: RunDir) -> Item:
    """The API server's; its key lies beside it."""
    return Item("apiserver", Kind.SERVER, rundir.pki / "apiserver.crt")


def central_items(rundir: RunDir) -> list[Item]:
    """The clients that every cluster has."""
    return [
        Item("admin", Kind.CLIENT, rundir.kubeconfig, ADMIN),
        Item("controller-manager", Kind.CLIENT, rundir.controller_kubeconfig, CONTROLLER_MANAGER),
        Item("scheduler", Kind.CLIENT, rundir.scheduler_kubeconfig, SCHEDULER),
    ]


def node_items(rundir: RunDir, nodes: Sequence[str]) -> list[Item]:
    """Agents with one node each."""
    return [
        Item(node, Kind.CLIENT, rundir.node_kubeconfig(node), node_identity(node)) for node in nodes
    ]


def fleet_items(rundir: RunDir, agents: Sequence[str]) -> list[Item]:
    """Agents with several nodes."""
    return [
        Item(name, Kind.CLIENT, rundir.fleet_kubeconfig(name), fleet_identity(name))
        for name in agents
    ]


def command_item(rundir: RunDir) -> Item:
    """A user's program in an experiment: an identity of its own, with all rights."""
    from kubeherd.faults.targets import COMMAND_USER  # noqa: PLC0415 - seldom wanted

    identity = Identity(COMMAND_USER, ("system:masters",))
    return Item("command", Kind.CLIENT, rundir.command_kubeconfig, identity)


def all_items(rundir: RunDir, settings: Settings) -> list[Item]:
    """Every certificate by the cluster's authority, and first that; of nodes that joined a
    cluster that is elsewhere there is nothing but theirs."""
    if settings.has_fleets:
        agents = fleet_items(rundir, list(settings.agents()))
    else:
        agents = node_items(rundir, settings.node_names)
    if settings.joined:
        return agents
    own = [authority_item(rundir), server_item(rundir), *central_items(rundir)]
    commands = [command_item(rundir)] if rundir.command_kubeconfig.exists() else []
    return [*own, *agents, *commands]


def etcd_items(rundir: RunDir) -> list[Item]:
    """Those of the cluster's own etcd, its authority first; the key of each lies beside it."""
    client = Identity("kube-apiserver-etcd-client")
    return [
        Item(ETCD_AUTHORITY, Kind.AUTHORITY, rundir.pki / "etcd-ca.crt"),
        Item("etcd", Kind.SERVER, rundir.pki / "etcd-server.crt", issuer=ETCD_AUTHORITY),
        Item("etcd-client", Kind.CLIENT, rundir.pki / "etcd-client.crt", client, ETCD_AUTHORITY),
    ]


def look(item: Item, authority: x509.Certificate | None, now: datetime) -> Found:
    """How an item is now; `authority`: whose it should be, None if that is not known."""
    try:
        certificate = read(item)
    except FileNotFoundError:
        return Found(item, State.MISSING, problem="there is no such file")
    except (OSError, ValueError, KubeconfigError) as error:
        return Found(item, State.UNREADABLE, problem=str(getattr(error, "strerror", "") or error))
    return Found(item, _state(item, certificate, authority, now), certificate)


def read(item: Item) -> x509.Certificate:
    """The certificate itself; OSError, ValueError or KubeconfigError if there is none."""
    if item.kind is not Kind.CLIENT or item.path.suffix == ".crt":
        return x509.load_pem_x509_certificate(item.path.read_bytes())
    if not item.path.exists():
        raise FileNotFoundError(item.path)
    return x509.load_pem_x509_certificate(access(item).certificate_pem)


def access(item: Item) -> ClusterAccess:
    """What a client's kubeconfig says; KubeconfigError if it cannot be used."""
    try:
        return load_kubeconfig(item.path, NAME)
    except KubeconfigError:
        return load_kubeconfig(item.path)  # a person has given the context another name


def _state(
    item: Item,
    certificate: x509.Certificate,
    authority: x509.Certificate | None,
    now: datetime,
) -> State:
    if now > certificate.not_valid_after_utc:
        return State.EXPIRED
    if now < certificate.not_valid_before_utc:
        return State.NOT_YET_VALID
    if item.kind is not Kind.AUTHORITY and authority is not None:
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:
            return State.FOREIGN
    return State.DUE if lifetimes.is_due(certificate, now) else State.GOOD
