"""The cluster's certificate authority, as far as signing requests goes.

Source: Kubernetes v1.36, pkg/controller/certificates/authority/{authority,policies}.go. The library
is imported with the first request.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.controller.manager import Keys

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_BACKDATED = timedelta(minutes=5)
_SHORT = timedelta(hours=8)
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}


def sign(keys: Keys, encoded: str, usages: Sequence[str], now: datetime, lifetime_s: int) -> str:
    """A certificate (PEM in base64) for the request in `encoded`, by the authority in `keys`.

    OSError or ValueError if that is not an authority that is still good, ValueError for a request
    that cannot be read.
    """
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    issuer, private = _authority(keys)
    request = signingrequest.load(encoded)
    begin, end = validity(now.astimezone(UTC), lifetime_s, issuer.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()), critical=False
        )
    )
    for value, critical in _usages(usages):
        builder = builder.add_extension(value, critical=critical)
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    signed = builder.sign(private, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def _authority(keys: Keys) -> "tuple[x509.Certificate, EllipticCurvePrivateKey | RSAPrivateKey]":
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    if keys.authority_certificate is None or keys.authority_key is None:
        raise ValueError("no certificate authority")
    issuer = x509.load_pem_x509_certificate(keys.authority_certificate.read_bytes())
    private = serialization.load_pem_private_key(keys.authority_key.read_bytes(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the certificate authority's key is of no known kind")
    return issuer, private


def _usages(usages: Sequence[str]) -> "Iterator[tuple[x509.ExtensionType, bool]]":
    """Extensions that say what a certificate is for, and whether they are critical."""
    from cryptography import x509  # noqa: PLC0415 - slow, seldom used
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    named = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if named:
        flags = {flag: flag in named for flag in set(_KEY_USAGES.values())}
        yield x509.KeyUsage(**flags), True
    purposes = {
        "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
        "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    extended = [oid for usage, oid in purposes.items() if usage in usages]
    if extended:
        yield x509.ExtendedKeyUsage(extended), False


def validity(now: datetime, lifetime_s: int, issuer_end: datetime) -> tuple[datetime, datetime]:
    """From when until when a certificate is good: begun a little early, for clocks differ, and
    never longer than its issuer. ValueError if that one has expired."""
    if now >= issuer_end:
        raise ValueError("the signer has expired")
    lifetime = timedelta(seconds=lifetime_s)
    end = now + lifetime if lifetime < _SHORT else now + lifetime - _BACKDATED
    return now - _BACKDATED, min(end, issuer_end)
