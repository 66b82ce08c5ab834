"""Whatever bytes stand in for a request or a certificate: it is read, or it is a ValueError."""

import base64
import warnings
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.api.helpers import signingrequest

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "system:node:n")])
DER = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(NAME)
    .add_extension(x509.SubjectAlternativeName([x509.DNSName("n")]), critical=False)
    .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)


@given(st.dictionaries(st.integers(0, len(DER) - 1), st.integers(0, 255), max_size=4))
def test_changed_bytes_are_no_surprise(changes: dict[int, int]) -> None:
    changed = bytearray(DER)
    for place, byte in changes.items():
        changed[place] = byte
    signed = changed == DER
    for kind in (b"CERTIFICATE REQUEST", b"CERTIFICATE"):
        block = b"-----BEGIN %b-----\n%b-----END %b-----\n"
        pem = block % (kind, base64.encodebytes(changed), kind)
        encoded = base64.b64encode(pem).decode()
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            signingrequest.subject(encoded)
        is_request = kind == b"CERTIFICATE REQUEST"
        assert (signingrequest.signature_problem(encoded) == "") is (signed and is_request)
        assert signingrequest.certificate_problem(encoded)
