"""A client's own certificate: asked for with a CertificateSigningRequest, and again before it ends.

Source: Kubernetes v1.36, client-go/util/certificate, pkg/kubelet/certificate/bootstrap. Whoever has
a bootstrap token gets a node's first certificate so, and the node all later ones with the one
before. Invariants: a private key is made here and never leaves the caller; what was issued is for
the key and the name that were asked for, or it is refused. Everything here blocks.
"""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.api.helpers.signingrequest import KUBELET_CLIENT
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SIGNINGREQUESTS
from kubeherd.cluster.client.http.blocking import BlockingClient

ISSUE_TIMEOUT_S: Final = 30.0
"""Real seconds for which a certificate is waited for."""
_LOOK_INTERVAL_S = 0.1
_EARLIEST, _LATEST = 0.7, 0.9
"""Between these parts of its life a certificate is renewed: not those of all nodes at once."""
_USAGES = ("digital signature", "client auth")
"""Of a key that is not RSA."""


class NoCertificate(KubeherdError):
    """None was issued; the text says why, in one line."""


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Subject(NamedTuple):
    """Who a certificate is for: a user and its groups."""

    user: str
    groups: tuple[str, ...] = ()


def node_subject(node: str) -> Subject:
    """A kubelet, as the Node authorizer knows it."""
    return Subject(f"system:node:{node}", ("system:nodes",))


def renewal_time(certificate: bytes, part: Callable[[float, float], float]) -> datetime:
    """When a certificate (PEM) should be renewed; `part(a, b)` is a number between the two that
    stays the same for the caller. ValueError if it is none."""
    found = x509.load_pem_x509_certificate(certificate)
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return found.not_valid_before_utc + life * part(_EARLIEST, _LATEST)


def time_left(certificate: bytes, now: datetime) -> timedelta:
    """For how long a certificate (PEM) is still good, less than nothing for one that has ended.
    ValueError if it is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc - now.astimezone(UTC)


class Requested(NamedTuple):
    """A certificate that was asked for."""

    subject: Subject
    key: ec.EllipticCurvePrivateKey
    tree: JsonObject
    """The CertificateSigningRequest as it was last seen."""


def request(
    api: BlockingClient,
    subject: Subject,
    *,
    signer: str = KUBELET_CLIENT,
    name_prefix: str = "csr-",
) -> Requested:
    """Ask for a certificate for a new key, as whoever `api` is; ApiError or TransportError if the
    server refuses or does not answer."""
    key = ec.generate_private_key(ec.SECP256R1())
    tree = api.send("POST", SIGNINGREQUESTS.path(), _tree(key, subject, signer, name_prefix))
    return Requested(subject, key, tree)


def issued(
    api: BlockingClient, requested: Requested, timeout_s: float = ISSUE_TIMEOUT_S
) -> KeyPair:
    """Wait for the certificate, so many real seconds.

    NoCertificate if it is denied, fails, is for somebody else, or does not come; ApiError or
    TransportError as `request`.
    """
    subject, key, tree = requested
    path, deadline_s = (
        SIGNINGREQUESTS.path(name=tree["metadata"]["name"]),
        time.monotonic() + timeout_s,
    )
    looked = False
    while not (certificate := _certificate(tree)):
        if time.monotonic() > deadline_s:
            raise NoCertificate(_not_issued(tree, subject, timeout_s))
        if looked:
            time.sleep(_LOOK_INTERVAL_S)
        tree, looked = api.send("GET", path), True
    _check(certificate, key, subject)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(certificate, private)


def obtain(api: BlockingClient, subject: Subject) -> KeyPair:
    """Ask for a certificate and wait for it; errors as those of `request` and `issued`."""
    return issued(api, request(api, subject))


def _tree(
    key: ec.EllipticCurvePrivateKey, subject: Subject, signer: str, name_prefix: str
) -> JsonObject:
    name = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.groups),
            x509.NameAttribute(NameOID.COMMON_NAME, subject.user),
        ]
    )
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": name_prefix},
        "spec": {
            "signerName": signer,
            "usages": list(_USAGES),
            "request": base64.b64encode(pem).decode(),
        },
    }


def _certificate(request: JsonObject) -> bytes:
    """The certificate (PEM) that answers a request, b"" if there is none yet. NoCertificate if
    there never will be."""
    status = request.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("Denied", "Failed"):
            why = condition.get("message") or condition.get("reason") or "no reason was given"
            name = request["metadata"]["name"]
            raise NoCertificate(f"the request {name} was {condition['type'].lower()}: {why}")
    return base64.b64decode(status.get("certificate") or "")


def _not_issued(request: JsonObject, subject: Subject, timeout_s: float) -> str:
    conditions = (request.get("status") or {}).get("conditions") or ()
    approved = any(condition.get("type") == "Approved" for condition in conditions)
    name = request["metadata"]["name"]
    missing = "signed" if approved else f"approved (kubectl certificate approve {name})"
    return f"the request {name} for {subject.user} was not {missing} within {timeout_s:g} s"


def _check(certificate: bytes, key: ec.EllipticCurvePrivateKey, subject: Subject) -> None:
    """NoCertificate unless it is what was asked for."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise NoCertificate(
            f"what was issued for {subject.user} is no certificate: {error}"
        ) from None
    names = [str(one.value) for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    is_for = names == [subject.user] and {str(one.value) for one in groups} == {*subject.groups}
    if not is_for or found.public_key() != key.public_key():
        raise NoCertificate(f"what was issued is not the certificate of {subject.user}")
