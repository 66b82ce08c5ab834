"""Which authority a cluster has, for a machine that knows only its URL, a token and a hash.

Source: Kubernetes v1.36, cmd/kubeadm/app/discovery/token. Anybody may read what the cluster says of
itself, over a connection that proves nothing; it is believed if the token has signed it and its
authority has the hash. Then it is read once more from a server with a certificate of that
authority, and must be the same. Invariant: the token is shown to nobody before that. Everything
here blocks.
"""

import base64
import hmac
import ssl
import time
from typing import Any

import msgspec
import yaml

from kubeherd.cluster.api.errors import ApiError, Forbidden, NotFound, Unauthorized
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import SIGNATURE_PREFIX, Token
from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.joining import authorities

REQUEST_TIMEOUT_S = 10.0
SIGNATURE_TIMEOUT_S = 5.0
"""Real seconds that a new token has to sign."""
MAX_BYTES = 4 * 1024 * 1024
"""Of what a stranger says of himself; a ConfigMap has at most a quarter of that."""
_LOOK_INTERVAL_S = 0.2
_INFO = CONFIGMAPS.path(bootstraptoken.INFO_NAMESPACE, bootstraptoken.INFO_NAME)


class Invitation(msgspec.Struct, frozen=True):
    """What the administrator of a cluster gives to the owner of another machine."""

    server: str
    """The API server's URL."""
    token: Token
    ca_hash: str


def trusted(invitation: Invitation) -> ClusterAccess:
    """The cluster, with the authority that it has and the token as identity.

    LauncherError in one line if it cannot be reached or is not the cluster that was meant.
    """
    insecure = ClusterAccess(server=invitation.server, skip_tls_verify=True)
    told = _signed(insecure, invitation)
    # Of several authorities only the one that was meant: whoever has a token could add his own.
    ca_pem = authorities.having(_authority(told, invitation.server), invitation.ca_hash)
    if not ca_pem:
        raise LauncherError(
            f"the authority of {invitation.server} does not have the hash {invitation.ca_hash}: "
            "this is another cluster, or the hash is wrong"
        )
    secure = ClusterAccess(server=invitation.server, ca_pem=ca_pem)
    if _info(secure).get(bootstraptoken.INFO_KUBECONFIG) != told:
        raise LauncherError(f"{invitation.server} does not say the same of itself twice")
    return ClusterAccess(server=invitation.server, ca_pem=ca_pem, token=invitation.token.text)


def _signed(access: ClusterAccess, invitation: Invitation) -> str:
    """What the cluster says of itself, signed by the token. A new one signs after a moment."""
    token = invitation.token
    deadline_s = time.monotonic() + SIGNATURE_TIMEOUT_S
    while True:
        data = _info(access)
        content = data.get(bootstraptoken.INFO_KUBECONFIG, "")
        signature = data.get(SIGNATURE_PREFIX + token.id)
        if signature is not None:
            break
        if time.monotonic() > deadline_s:
            raise LauncherError(
                f"{access.server} does not know the token {token.id}: it is wrong, or its time is "
                "over; `kubeherd token create` makes a new one there"
            )
        time.sleep(_LOOK_INTERVAL_S)
    wanted = bootstraptoken.signature(content, token)
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise LauncherError(f"the token {token.id} has another secret at {access.server}")
    return content


def _info(access: ClusterAccess) -> dict[str, str]:
    """The data of `cluster-info`; LauncherError without."""
    try:
        with BlockingTransport(access, max_bytes=MAX_BYTES) as transport:
            info = BlockingClient(transport, REQUEST_TIMEOUT_S).send("GET", _INFO)
    except (NotFound, Forbidden, Unauthorized):
        raise LauncherError(
            f"{access.server} lets nobody join: `kubeherd token create` there changes that"
        ) from None
    except ApiError as error:
        raise LauncherError(f"{access.server} refused: {error.message}") from None
    except TransportError as error:
        raise LauncherError(_unreachable(access.server, error)) from None
    except (msgspec.DecodeError, ssl.SSLError, ValueError) as error:
        raise LauncherError(f"{access.server} is no API server: {error}") from None
    data = info.get("data") if isinstance(info, dict) else None
    pairs = data.items() if isinstance(data, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _unreachable(server: str, error: TransportError) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return (
            f"the certificate of {server} is not good for that address: {why}; "
            "`kubeherd up --cert-san` there adds one"
        )
    reason = cause.strerror if isinstance(cause, OSError) else ""
    reason = reason or str(error).partition(": ")[2] or str(error)
    return f"{server} does not answer: {reason}"


def _authority(content: str, server: str) -> bytes:
    """The authority in the kubeconfig that a cluster shows to all (PEM)."""
    try:
        tree: Any = yaml.safe_load(content)
        data = tree["clusters"][0]["cluster"]["certificate-authority-data"]
        pem = base64.b64decode(data, validate=True)
        authorities.hashes_of(pem)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        raise LauncherError(f"{server} does not say which authority it has") from None
    return pem
