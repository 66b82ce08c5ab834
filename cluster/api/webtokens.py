"""JSON Web Tokens as a cluster signs them: compact, ES256, the key named by its hash.

Source: Kubernetes v1.36, pkg/serviceaccount/jwt.go, openidmetadata.go; RFC 7515, 7518. What
the claims mean is for others to say. Invariants: a token is believed only for its signature by
this key, in this algorithm; the private key is in no repr. The library is imported with the first
key, because few clusters need one.
"""

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ALGORITHM = "ES256"
_HALF_BYTES = 32
"""A signature is two numbers of so many bytes (RFC 7518, 3.4)."""
_PARTS = 3


class BadToken(Exception):
    """The token is none, or not signed by the key; the text is for who showed it."""


class TokenKey:
    """A key pair on the curve P-256 that signs and verifies tokens."""

    def __init__(self, private_key: "EllipticCurvePrivateKey") -> None:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow, seldom used

        self._private = private_key
        self._public = private_key.public_key()
        der = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = _encoded(hashlib.sha256(der).digest())

    @classmethod
    def generate(cls) -> "TokenKey":
        """A new key."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - slow, seldom used

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> "TokenKey":
        """The private key in PEM; ValueError if it is none, or of another curve."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow, seldom used
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("not a key on the curve P-256")
        return cls(key)

    def sign(self, claims: JsonObject) -> str:
        """A token with these claims."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow, seldom used
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

        header = {"alg": ALGORITHM, "kid": self.key_id}
        signed = f"{_encoded(orjson.dumps(header))}.{_encoded(orjson.dumps(claims))}"
        signature = self._private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        numbers = utils.decode_dss_signature(signature)
        raw = b"".join(number.to_bytes(_HALF_BYTES, "big") for number in numbers)
        return f"{signed}.{_encoded(raw)}"

    def claims(self, token: str) -> JsonObject:
        """The claims of a token that this key signed; BadToken for any other."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow, seldom used
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

        header, claims = unverified(token)
        if (header.get("kid") or self.key_id) != self.key_id:
            raise BadToken("invalid signature, no keys found")
        signed, _, tail = token.rpartition(".")
        raw = _decoded(tail)
        if header.get("alg") != ALGORITHM or len(raw) != 2 * _HALF_BYTES:
            raise BadToken("invalid signature")
        signature = utils.encode_dss_signature(
            int.from_bytes(raw[:_HALF_BYTES], "big"), int.from_bytes(raw[_HALF_BYTES:], "big")
        )
        try:
            self._public.verify(signature, signed.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise BadToken("invalid signature") from None
        return claims

    def jwk(self) -> JsonObject:
        """The public key as a JSON Web Key."""
        numbers = self._public.public_numbers()
        x, y = (_encoded(n.to_bytes(_HALF_BYTES, "big")) for n in (numbers.x, numbers.y))
        return {
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": ALGORITHM,
            "x": x, "y": y,
        }  # fmt: skip


def unverified(token: str) -> tuple[JsonObject, JsonObject]:
    """Header and claims that a token asserts, which nobody may believe yet; BadToken if it is no
    token."""
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise BadToken("not a compact JWS")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> JsonObject:
    try:
        tree = orjson.loads(_decoded(part))
    except orjson.JSONDecodeError:
        raise BadToken("not JSON") from None
    if not isinstance(tree, dict):
        raise BadToken("not a JSON object")
    return tree


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    try:
        data = part.encode("ascii")
        return base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadToken("not base64url") from None
