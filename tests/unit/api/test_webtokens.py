"""Tokens as a cluster signs them: what is believed, and what is not."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.api.webtokens import BadToken, TokenKey, unverified

CLAIMS = {"iss": "https://issuer", "sub": "someone", "exp": 7}


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _pem(curve: ec.EllipticCurve) -> bytes:
    return ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_what_was_signed_is_read_back_by_the_same_key_only() -> None:
    pem = _pem(ec.SECP256R1())
    key, same = TokenKey.from_pem(pem), TokenKey.from_pem(pem)
    token = key.sign(CLAIMS)
    assert same.claims(token) == CLAIMS
    assert unverified(token)[0] == {"alg": "ES256", "kid": key.key_id}
    with pytest.raises(BadToken, match="no keys found"):
        TokenKey.generate().claims(token)


def test_any_changed_part_ends_the_belief() -> None:
    key = TokenKey.generate()
    header, claims, signature = key.sign(CLAIMS).split(".")
    other = TokenKey.generate().sign(CLAIMS).split(".")
    for forged in (
        f"{header}.{_part({**CLAIMS, 'sub': 'system:masters'})}.{signature}",
        f"{_part({'alg': 'none', 'kid': key.key_id})}.{claims}.",
        f"{_part({'alg': 'none', 'kid': key.key_id})}.{claims}.{signature}",
        f"{_part({'alg': 'HS256', 'kid': key.key_id})}.{claims}.{signature}",
        f"{_part({'alg': 'ES256'})}.{other[1]}.{other[2]}",
        f"{header}.{claims}.{_part(b'')}",
        f"{header}.{claims}.{_part(bytes(64))}",
        f"{header}.{claims}.{_part(b'x' * 65)}",
    ):
        with pytest.raises(BadToken, match="invalid signature"):
            key.claims(forged)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "a.b", "a.b.c.d", "e30.e30", "!!.e30.x", "W10.e30.x", "é.e30.x", "eA.e30.x"],
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadToken):
        TokenKey.generate().claims(text)


def test_keys_that_are_none() -> None:
    for pem in (b"", b"-----BEGIN PRIVATE KEY-----\n", _pem(ec.SECP384R1())):
        with pytest.raises(ValueError, match=r".+"):
            TokenKey.from_pem(pem)


def test_the_published_key_is_the_public_half() -> None:
    key = TokenKey.generate()
    jwk = key.jwk()
    numbers = [int.from_bytes(base64.urlsafe_b64decode(jwk[axis] + "="), "big") for axis in "xy"]
    public = ec.EllipticCurvePublicNumbers(numbers[0], numbers[1], ec.SECP256R1()).public_key()
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert TokenKey.from_pem(_pem(ec.SECP256R1())).key_id != key.key_id
    assert jwk.keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}
    assert jwk["kid"] == key.key_id == _part(hashlib.sha256(der).digest())
    assert "private" not in repr(key).lower()
