"""Bootstrap tokens: what one is, what its Secret makes of it, what it signs.

The signatures are those of Kubernetes v1.36, cluster-bootstrap/token/jws/jws_test.go.
"""

import base64
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import BadToken, Token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = Token("abcdef", "0123456789abcdef")
CONTENT = "Hello from the other side. I must have called a thousand times."


def changed(**data: str | None) -> dict[str, Any]:
    """The Secret of `TOKEN` with other data: `_` for `-`, None to take it out."""
    tree = bootstraptoken.secret(TOKEN, NOW + timedelta(hours=1))
    for key, value in data.items():
        name = key.replace("_", "-")
        tree["data"].pop(name, None)
        if value is not None:
            tree["data"][name] = base64.b64encode(value.encode()).decode()
    return tree


@pytest.mark.parametrize(
    "text",
    ["", "abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0", "ABCDEF.0123456789abcdef",
     "abcdef.0123456789abcdef\n", "abcde.f0123456789abcdef", " abcdef.0123456789abcdef"],
)  # fmt: skip
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadToken) as caught:
        bootstraptoken.parse(text)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_token_is_read_and_made() -> None:
    assert bootstraptoken.parse(TOKEN.text) == TOKEN
    made = bootstraptoken.generate(random.Random(1).choice)
    assert bootstraptoken.parse(made.text) == made


def test_the_secret_of_a_token() -> None:
    tree = bootstraptoken.secret(TOKEN, NOW, description="for the lab")
    assert (tree["metadata"], tree["type"]) == (
        {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "bootstrap.kubernetes.io/token",
    )
    assert {key: bootstraptoken.datum(tree, key) for key in tree["data"]} == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        "expiration": "2026-01-01T00:00:00Z",
        "description": "for the lab",
    }
    with pytest.raises(BadToken):
        bootstraptoken.secret(TOKEN, None, usages=["x"])
    with pytest.raises(BadToken):
        bootstraptoken.secret(TOKEN, None, groups=["system:masters"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"token_secret": "0123456789abcdeg"}, "another secret"),
        ({"token_secret": None}, "another secret"),
        ({"token_id": "abcdeg"}, "another ID"),
        ({"expiration": "2025-12-31T23:59:59Z"}, "expired"),
        ({"expiration": "2026-01-01T00:00:00Z"}, "expired"),
        ({"expiration": "soon"}, "expired"),
        ({"usage_bootstrap_authentication": "yes"}, "not for authentication"),
        ({"usage_bootstrap_authentication": None}, "not for authentication"),
        ({"auth_extra_groups": "system:masters"}, "no group of tokens"),
        ({"auth_extra_groups": "system:bootstrappers:a,"}, "no group of tokens"),
    ],
)
def test_what_makes_a_token_worthless(data: dict[str, str | None], why: str) -> None:
    with pytest.raises(BadToken, match=why):
        bootstraptoken.groups_of(changed(**data), TOKEN, NOW)


def test_a_secret_of_another_type_or_under_deletion_is_worthless() -> None:
    for wrong in ({"type": "Opaque"}, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}):
        with pytest.raises(BadToken):
            bootstraptoken.groups_of({**changed(), **wrong}, TOKEN, NOW)


def test_groups_of_a_token() -> None:
    def groups(**data: str | None) -> list[str]:
        return bootstraptoken.groups_of(changed(**data), TOKEN, NOW)

    first, node = "system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"
    assert groups() == [first, node]
    assert groups(auth_extra_groups=None, expiration=None) == [first]
    assert groups(auth_extra_groups="system:bootstrappers:b,system:bootstrappers:a") == [
        first, "system:bootstrappers:a", "system:bootstrappers:b",
    ]  # fmt: skip


def test_signatures_are_kubernetes() -> None:
    token, header = Token("joshua", "my voice is my passcode"), "eyJhbGciOiJIUzI1NiIsImtpZCI6Imp"
    assert bootstraptoken.signature(CONTENT, token) == (
        f"{header}vc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
    )
    assert bootstraptoken.signature("", token) == (
        f"{header}vc2h1YSJ9..7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk"
    )


def test_who_signs() -> None:
    assert bootstraptoken.signer(changed(), NOW) == TOKEN
    assert bootstraptoken.signer(changed(), NOW + timedelta(hours=1)) is None
    for key in ("usage_bootstrap_signing", "token_id", "token_secret"):
        assert bootstraptoken.signer(changed(**{key: None}), NOW) is None
    other = changed()
    other["metadata"]["name"] = "bootstrap-token-bcdefg"
    assert bootstraptoken.signer(other, NOW) is None
