"""The public keys of certificate authorities, by which a machine that joins knows its cluster.

The form is kubeadm's (cmd/kubeadm/app/util/pubkeypin): ``sha256:`` and the hash of the
SubjectPublicKeyInfo in hexadecimal.
"""

import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubeherd.cluster.launcher.errors import LauncherError

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


def check_hash(text: str) -> str:
    """A hash as it is compared; LauncherError if it is none."""
    if not _HASH.fullmatch(text.lower()):
        raise LauncherError(f'"{text}" is no hash: it begins with sha256: and has 64 digits more')
    return text.lower()


def hashes_of(pem: bytes) -> list[str]:
    """The hashes of the authorities in a PEM text; ValueError if there is none."""
    return [_hash(certificate) for certificate in x509.load_pem_x509_certificates(pem)]


def having(pem: bytes, ca_hash: str) -> bytes:
    """The authorities in a PEM text that have this hash, as PEM; empty if none has. ValueError if
    there is no authority at all."""
    return b"".join(
        certificate.public_bytes(serialization.Encoding.PEM)
        for certificate in x509.load_pem_x509_certificates(pem)
        if _hash(certificate) == ca_hash
    )


def _hash(certificate: x509.Certificate) -> str:
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(info).hexdigest()}"
