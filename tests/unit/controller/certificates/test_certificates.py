"""Which requests for certificates are approved and signed, and what a signed one looks like.

Texts and times are of pkg/controller/certificates and pkg/apis/certificates (v1.36).
"""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubeherd.cluster.api.helpers.signingrequest import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    Subject,
)
from kubeherd.controller.certificates import authority, plan
from kubeherd.controller.manager import Keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Subject("system:node:n1", ("system:nodes",))
CLIENT_USAGES = ["digital signature", "client auth"]
SERVING_USAGES = ["digital signature", "server auth"]


def spec(signer: str = KUBELET_CLIENT, *usages: str, **more: Any) -> dict[str, Any]:
    return {"signerName": signer, "usages": list(usages) or CLIENT_USAGES, **more}


@pytest.mark.parametrize(
    ("spec", "subject", "problem"),
    [
        (spec(), NODE, ""),
        (spec(KUBELET_CLIENT, *CLIENT_USAGES, "key encipherment"), NODE, ""),
        (spec(), NODE._replace(organizations=("system:masters",)),
         "subject organization is not system:nodes"),
        (spec(), NODE._replace(organizations=("system:nodes", "system:masters")),
         "subject organization is not system:nodes"),
        (spec(), NODE._replace(dns_names=("a",)), "DNS subjectAltNames are not allowed"),
        (spec(), NODE._replace(uris=("a",)), "URI subjectAltNames are not allowed"),
        (spec(), NODE._replace(common_name="admin"),
         "subject common name does not begin with system:node:"),
        (spec(KUBELET_CLIENT, "server auth"), NODE,
         "usages did not match [client auth digital signature key encipherment]"),
        (spec(KUBELET_SERVING, *SERVING_USAGES), NODE._replace(addresses=("10.0.0.1",)), ""),
        (spec(KUBELET_SERVING, *SERVING_USAGES), NODE, "DNS or IP subjectAltName is required"),
        (spec(KUBELET_SERVING, *SERVING_USAGES), NODE._replace(dns_names=("a",), emails=("b",)),
         "Email subjectAltNames are not allowed"),
        (spec(KUBELET_SERVING, *CLIENT_USAGES), NODE._replace(dns_names=("a",)),
         "usages did not match [digital signature key encipherment server auth]"),
        (spec(CLIENT), Subject("alice", ("crew",)), ""),
        (spec(CLIENT, "digital signature"), Subject("alice", ()),
         "missing required usage for client certificate: client auth"),
        (spec(CLIENT, "client auth", "cert sign"), Subject("alice", ()),
         "invalid usage for client certificate: cert sign"),
    ],
)  # fmt: skip
def test_signers_are_particular(spec: dict[str, Any], subject: Subject, problem: str) -> None:
    assert plan.problem(spec, subject) == problem


def test_only_kubelets_clients_are_approved_by_a_right() -> None:
    def asked(spec: dict[str, Any], subject: Subject = NODE) -> list[str]:
        return [permission.subresource for permission in plan.permissions(spec, subject)]

    assert asked(spec(username="system:node:n1")) == ["selfnodeclient", "nodeclient"]
    assert asked(spec(username="bootstrapper")) == ["nodeclient"]
    assert asked(spec(username="system:node:n1"), NODE._replace(dns_names=("a",))) == []
    assert asked(spec(CLIENT, username="alice"), Subject("alice", ())) == []
    serving = spec(KUBELET_SERVING, *SERVING_USAGES, username="system:node:n1")
    assert asked(serving, NODE._replace(dns_names=("a",))) == []


def test_the_question_is_about_who_made_the_request() -> None:
    made = spec(username="u", uid="1", groups=["g"], extra={"a": ["b"]})
    (permission,) = plan.permissions(made, NODE)
    assert plan.review(made, permission)["spec"] == {
        "user": "u", "uid": "1", "groups": ["g"], "extra": {"a": ["b"]},
        "resourceAttributes": {
            "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
            "verb": "create", "subresource": "nodeclient", "version": "*",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "certificate", "decided", "wanted"),
    [
        ([], "", False, False),
        (["Approved"], "", True, True),
        (["Denied"], "", True, False),
        (["Approved", "Failed"], "", True, False),
        (["Approved"], "x", True, False),
    ],
)
def test_what_is_still_to_be_done(
    conditions: list[str], certificate: str, decided: bool, wanted: bool
) -> None:
    status = {"conditions": [{"type": one, "status": "True"} for one in conditions]}
    tree = {"spec": spec(), "status": {**status, "certificate": certificate}}
    assert (plan.is_decided(tree), plan.wants_signature(tree)) == (decided, wanted)
    assert not plan.wants_signature({**tree, "spec": spec("example.com/s")})


def test_a_decision_is_added_to_what_is_there() -> None:
    tree = {"spec": {}, "status": {"certificate": "c", "conditions": [{"type": "T"}]}}
    (permission,) = plan.permissions(spec(username="u"), NODE)
    status = plan.approved(tree, permission)["status"]
    assert status["certificate"] == "c"
    assert status["conditions"][1] == {
        "type": "Approved", "status": "True", "reason": "AutoApproved",
        "message": "Auto approving kubelet client certificate after SubjectAccessReview.",
    }  # fmt: skip
    assert plan.failed(tree, "why")["status"]["conditions"][1]["message"] == "why"
    assert len(tree["status"]["conditions"]) == 1


@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 31536000), (60, 600), (3600, 3600), (10**9, 31536000)]
)
def test_lifetimes_have_bounds(asked: int | None, granted: int) -> None:
    assert plan.lifetime_s({"expirationSeconds": asked}) == granted


def test_validity_begins_early_and_ends_with_the_issuer() -> None:
    early, hour = timedelta(minutes=5), timedelta(hours=1)
    far = NOW + timedelta(days=1000)
    assert authority.validity(NOW, 3600, far) == (NOW - early, NOW + hour)
    assert authority.validity(NOW, 36000, far) == (NOW - early, NOW + 10 * hour - early)
    assert authority.validity(NOW, 3600, NOW + early)[1] == NOW + early
    with pytest.raises(ValueError, match="the signer has expired"):
        authority.validity(NOW, 3600, NOW)


def _authority(directory: Path) -> Keys:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    files = Keys(directory / "ca.crt", directory / "ca.key")
    assert files.authority_certificate is not None
    assert files.authority_key is not None
    files.authority_certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.authority_key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_a_certificate_says_what_was_asked_for_and_no_more(tmp_path: Path) -> None:
    keys = _authority(tmp_path)
    own = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("n1")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1")]))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(own, hashes.SHA256())
    )
    encoded = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    signed = authority.sign(keys, encoded, SERVING_USAGES, NOW, 3600)
    made = x509.load_pem_x509_certificate(base64.b64decode(signed))
    assert keys.authority_certificate is not None
    issuer = x509.load_pem_x509_certificate(keys.authority_certificate.read_bytes())
    made.verify_directly_issued_by(issuer)
    assert made.subject == request.subject
    assert made.public_key() == own.public_key()
    assert made.not_valid_after_utc == NOW + timedelta(hours=1)
    extensions = made.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names
    with pytest.raises(ValueError, match="no certificate authority"):
        authority.sign(Keys(), encoded, SERVING_USAGES, NOW, 3600)
