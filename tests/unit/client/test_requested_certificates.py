"""A certificate that is asked for: what is sent, what is taken, and when the next one is due."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client import certificates
from kubeherd.cluster.client.certificates import KeyPair, NoCertificate, Subject, node_subject

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Decide = Callable[[x509.CertificateSigningRequest], dict[str, Any]]


def signed(request: x509.CertificateSigningRequest, **other: Any) -> dict[str, Any]:
    """The status that answers a request; `subject` or `key` of another one."""
    authority = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(other.get("subject", request.subject))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .public_key(other.get("key", request.public_key()))
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(days=100))
        .sign(authority, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    return {"certificate": base64.b64encode(pem).decode()}


class Api:
    """Answers with the status that `decide` gives, the second time it is asked."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self.sent: JsonObject = {}

    def send(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        if method == "POST":
            assert body is not None
            self.sent = {**body, "metadata": {"name": "csr-1"}}
            return self.sent
        assert path == "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1"
        pem = base64.b64decode(self.sent["spec"]["request"])
        return {**self.sent, "status": self._decide(x509.load_pem_x509_csr(pem))}


def obtained(decide: Decide, subject: Subject | None = None) -> KeyPair:
    return certificates.obtain(Api(decide), subject or node_subject("n1"))  # type: ignore[arg-type]


def test_a_node_gets_what_it_asked_for() -> None:
    api = Api(signed)
    pair = certificates.obtain(api, node_subject("n1"))  # type: ignore[arg-type]
    assert api.sent["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"
    assert api.sent["spec"]["usages"] == ["digital signature", "client auth"]
    found = x509.load_pem_x509_certificate(pair.certificate)
    assert found.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    key = serialization.load_pem_private_key(pair.key, None)
    assert key.public_key() == found.public_key()


@pytest.mark.parametrize("kind", ["Denied", "Failed"])
def test_a_refusal_is_told(kind: str) -> None:
    condition = {"type": kind, "status": "True", "message": "because"}
    with pytest.raises(NoCertificate, match=f"csr-1 was {kind.lower()}: because"):
        obtained(lambda _: {"conditions": [condition]})


def test_what_does_not_come_is_not_waited_for_for_ever() -> None:
    api: Any = Api(lambda _: {"conditions": [{"type": "Approved", "status": "True"}]})
    asked = certificates.request(api, node_subject("n1"))
    with pytest.raises(NoCertificate, match=r"was not approved \(kubectl certificate approve csr"):
        certificates.issued(api, asked, timeout_s=-1)
    with pytest.raises(NoCertificate, match="was not signed within"):
        certificates.issued(api, asked, timeout_s=0.01)


def test_a_certificate_of_somebody_else_is_not_taken() -> None:
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n2")])
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    for wrong in (partial(signed, subject=other), partial(signed, key=key)):
        with pytest.raises(NoCertificate, match="is not the certificate of system:node:n1"):
            obtained(wrong)
    with pytest.raises(NoCertificate, match="is no certificate"):
        obtained(lambda _: {"certificate": "eA=="})


def test_a_certificate_is_renewed_between_seven_and_nine_tenths_of_its_life() -> None:
    pair = obtained(signed)
    due = [
        certificates.renewal_time(pair.certificate, choose)
        for choose in (lambda low, _high: low, lambda _low, high: high)
    ]
    assert due == [BEGIN + timedelta(days=70), BEGIN + timedelta(days=90)]
    left = certificates.time_left(pair.certificate, BEGIN + timedelta(days=101))
    assert left == timedelta(days=-1)
    with pytest.raises(ValueError, match="PEM"):
        certificates.time_left(b"", BEGIN)
