"""The PKCS#10 request inside a CertificateSigningRequest: who wants which certificate.

Source: Kubernetes v1.36, pkg/apis/certificates/helpers.go. The library is imported with the first
request, because few clusters see one.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client"
_BLOCK = re.compile(rb"-----BEGIN ([^\r\n]*?)-----")
_NO_BLOCK = "PEM block type must be CERTIFICATE REQUEST"


class Subject(NamedTuple):
    """What a request asks for. Of several common names the last one counts, as in Go."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


@contextmanager
def _readable() -> Iterator[None]:
    """ValueError for all that the library says of input that it cannot read."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        yield
    except (
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
        UnsupportedAlgorithm,
    ) as error:
        raise ValueError(str(error)) from None


def load(encoded: str) -> "x509.CertificateSigningRequest":
    """The request in a PEM block in base64; ValueError if there is none."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used

    try:
        pem = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    block = _BLOCK.search(pem)
    if block is None or block.group(1) != b"CERTIFICATE REQUEST":
        raise ValueError(_NO_BLOCK)
    with _readable():
        return x509.load_pem_x509_csr(pem[block.start() :])


def signature_problem(encoded: str) -> str:
    """Why the request in `encoded` is none that its sender has signed, "" if it is."""
    try:
        with _readable():
            valid = load(encoded).is_signature_valid
    except ValueError as error:
        return str(error)
    return "" if valid else "x509: signature verification failure"


def subject(encoded: str) -> Subject:
    """What the request in `encoded` asks for; ValueError if it cannot be read."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used

    request = load(encoded)
    names = [str(one.value) for one in _attributes(request, x509.NameOID.COMMON_NAME)]
    organizations = _attributes(request, x509.NameOID.ORGANIZATION_NAME)
    found = x509.SubjectAlternativeName([])
    with _readable(), suppress(x509.ExtensionNotFound):
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return Subject(
        names[-1] if names else "",
        tuple(str(one.value) for one in organizations),
        tuple(found.get_values_for_type(x509.DNSName)),
        tuple(found.get_values_for_type(x509.RFC822Name)),
        tuple(str(address) for address in found.get_values_for_type(x509.IPAddress)),
        tuple(found.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def _attributes(
    request: "x509.CertificateSigningRequest", kind: "x509.ObjectIdentifier"
) -> "Iterator[x509.NameAttribute[str | bytes]]":
    return iter(request.subject.get_attributes_for_oid(kind))


def end_of_certificate(encoded: str) -> datetime | None:
    """When the certificate in `encoded` (PEM in base64) ends; None if there is none to be read."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used

    if not encoded:
        return None
    try:
        with _readable():
            return x509.load_pem_x509_certificate(base64.b64decode(encoded)).not_valid_after_utc
    except ValueError:
        return None


def certificate_problem(encoded: str) -> str:
    """Why `encoded` (base64) is not one or more certificates in PEM, "" if it is."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used

    try:
        pem = base64.b64decode(encoded, validate=True)
        for kind in _BLOCK.findall(pem):
            if kind != b"CERTIFICATE":
                return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode("latin-1")}"'
        if not _BLOCK.search(pem):
            return "must contain at least one CERTIFICATE PEM block"
        with _readable():
            x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        return str(error)
    return ""
