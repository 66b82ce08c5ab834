"""The identities of nodes of a cluster that is elsewhere, in the directory of those nodes.

Each node's kubeconfig holds its key and certificate, the cluster's URL and authority; nothing else
of the cluster is here. Invariants: a node's certificate that is still good is kept; no node gets
one whose name another machine's node has; what is written is whole. Everything here blocks.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson

from kubeherd.cluster.api.errors import ApiError, Unauthorized
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.client import certificates
from kubeherd.cluster.client.certificates import KeyPair, NoCertificate, node_subject
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess, KubeconfigError, load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError

REQUEST_TIMEOUT_S = 10.0


def without_identity(rundir: RunDir, server: str, names: Sequence[str]) -> list[str]:
    """Those of these nodes that have no certificate of this cluster that is still good."""
    return [name for name in names if not _is_good(rundir, server, name)]


def check_identities(rundir: RunDir, server: str, names: Sequence[str]) -> None:
    """LauncherError if one of these nodes has none that is still good."""
    for name in without_identity(rundir, server, names)[:1]:
        raise LauncherError(
            f'node "{name}" has no certificate any more that is good: `kubeherd join {server}` '
            "with a new token gets it one"
        )


def _is_good(rundir: RunDir, server: str, name: str) -> bool:
    try:
        access = load_kubeconfig(rundir.node_kubeconfig(name))
        left = certificates.time_left(access.certificate_pem, datetime.now(UTC))
    except (KubeconfigError, ValueError):
        return False
    return access.server == server and left > timedelta(0)


def give_identities(rundir: RunDir, access: ClusterAccess, names: Sequence[str]) -> None:
    """Ask the cluster for a certificate for each of these nodes; all are written, or none.

    `access` has a bootstrap token as identity. LauncherError in one line if one is not to be had.
    """
    try:
        with BlockingTransport(access) as transport:
            pairs = _obtained(BlockingClient(transport, REQUEST_TIMEOUT_S), names)
    except Unauthorized:
        raise LauncherError(f"{access.server} does not accept the token") from None
    except ApiError as error:
        raise LauncherError(f"{access.server} refused: {error.message}") from None
    except TransportError as error:
        raise LauncherError(f"{access.server} does not answer: {error}") from None
    except NoCertificate as error:
        raise LauncherError(str(error)) from None
    for name, pair in zip(names, pairs, strict=True):
        write_identity(rundir, access, name, pair)


def _obtained(api: BlockingClient, names: Sequence[str]) -> list[KeyPair]:
    """The certificates: all are asked for before the first one is waited for."""
    for name in names:
        if api.find(NODES, "", name) is not None:
            raise LauncherError(
                f'the cluster has a node "{name}" already: choose another --name-prefix, or delete '
                "that Node first"
            )
    asked = [
        certificates.request(api, node_subject(name), name_prefix="node-csr-") for name in names
    ]
    return [certificates.issued(api, requested) for requested in asked]


def write_identity(rundir: RunDir, access: ClusterAccess, name: str, pair: KeyPair) -> None:
    """Replace the kubeconfig of a node; LauncherError if it cannot be written."""
    made = pki.KeyPair(pair.certificate, pair.key)
    tree = pki.kubeconfig(access.server, access.ca_pem, made, node_subject(name).user)
    write_private(rundir.node_kubeconfig(name), orjson.dumps(tree))
