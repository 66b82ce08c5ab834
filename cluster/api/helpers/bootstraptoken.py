"""Bootstrap tokens: ``ID.SECRET``, each kept in a Secret of its own in kube-system. Pure.

Source: Kubernetes v1.36, staging/src/k8s.io/cluster-bootstrap (token/api, token/util, token/jws,
util/secrets). Whoever shows the token may ask for a node's certificate (usage ``authentication``),
and whoever holds it can tell that the ConfigMap ``cluster-info`` is the cluster's own (usage
``signing``). Invariant: what a Secret says wrongly makes its token worthless, never more powerful.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import format_time, parse_time

NAMESPACE: Final = "kube-system"
SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"  # noqa: S105 - no secret
NAME_PREFIX: Final = "bootstrap-token-"
USER_PREFIX: Final = "system:bootstrap:"
GROUP: Final = "system:bootstrappers"
"""What every user of a token is in."""
NODES_GROUP: Final = "system:bootstrappers:kubeadm:default-node-token"
"""What users of a token that lets nodes join are in besides (kubeadm's)."""
INFO_NAMESPACE: Final = "kube-public"
INFO_NAME: Final = "cluster-info"
"""The ConfigMap that tells anybody where the cluster is, and which authority is its own."""
INFO_KUBECONFIG: Final = "kubeconfig"
SIGNATURE_PREFIX: Final = "jws-kubeconfig-"
USAGES: Final = ("authentication", "signing")

_ID = re.compile(r"[a-z0-9]{6}")
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH, _SECRET_LENGTH = 6, 16


class BadToken(ValueError):
    """What is no bootstrap token, or may not be in one; the text says why in one line."""


class Token(msgspec.Struct, frozen=True):
    """One token; only its `id` may be shown."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """As its holder writes it."""
        return f"{self.id}.{self.secret}"


def parse(text: str) -> Token:
    """The token that somebody wrote; BadToken, without the text, if it is none."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("a token is six characters, a dot and sixteen more, of a-z and 0-9")
    return Token(match[1], match[2])


def check_id(text: str) -> str:
    """The ID itself; BadToken if it is none."""
    if not _ID.fullmatch(text):
        raise BadToken("the ID of a token is six characters of a-z and 0-9")
    return text


def check_usages(usages: Iterable[str]) -> None:
    """BadToken for a usage that there is not."""
    for usage in usages:
        if usage not in USAGES:
            raise BadToken(f'"{usage}" is no usage of a token: {", ".join(USAGES)}')


def generate(choice: Callable[[str], str]) -> Token:
    """A new token; `choice` takes one of some characters, as nobody could guess."""

    def characters(count: int) -> str:
        return "".join(choice(_CHARACTERS) for _ in range(count))

    return Token(characters(_ID_LENGTH), characters(_SECRET_LENGTH))


def secret_name(token_id: str) -> str:
    """The name of the Secret of a token."""
    return f"{NAME_PREFIX}{token_id}"


def secret(
    token: Token,
    expires: datetime | None,
    *,
    usages: Sequence[str] = USAGES,
    groups: Sequence[str] = (NODES_GROUP,),
    description: str = "",
) -> JsonObject:
    """The Secret of a token; without `expires` it is good until it is deleted. BadToken for a
    usage or group that no token may have."""
    check_usages(usages)
    for group in groups:
        _check_group(group)
    data = {"token-id": token.id, "token-secret": token.secret}
    data |= {f"usage-bootstrap-{usage}": "true" for usage in usages}
    if groups:
        data["auth-extra-groups"] = ",".join(groups)
    if expires is not None:
        data["expiration"] = format_time(expires)
    if description:
        data["description"] = description
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(token.id), "namespace": NAMESPACE},
        "type": SECRET_TYPE,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def datum(tree: JsonObject, key: str) -> str:
    """A value in a Secret, "" if it is missing or no text."""
    try:
        return base64.b64decode((tree.get("data") or {}).get(key) or "").decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def time_left(tree: JsonObject, now: datetime) -> timedelta | None:
    """For how long a token is still good, None for ever; zero for one that has expired, or whose
    time of expiration cannot be read."""
    text = datum(tree, "expiration")
    if not text:
        return None
    try:
        return max(parse_time(text) - now, timedelta(0))
    except ValueError:
        return timedelta(0)


def is_expired(tree: JsonObject, now: datetime) -> bool:
    """Whether the time of a token is over."""
    return time_left(tree, now) == timedelta(0)


def is_for(tree: JsonObject, usage: str) -> bool:
    """Whether the token in a Secret has this usage."""
    return datum(tree, f"usage-bootstrap-{usage}") == "true"


def groups_of(tree: JsonObject, token: Token, now: datetime) -> list[str]:
    """The groups of the user who shows `token`, by the Secret of its name; BadToken, which says
    why for a log, if it is not good."""
    if tree["metadata"].get("deletionTimestamp"):
        raise BadToken("is deleted and awaiting removal")
    if tree.get("type") != SECRET_TYPE:
        raise BadToken("has the wrong type")
    if not hmac.compare_digest(datum(tree, "token-secret").encode(), token.secret.encode()):
        raise BadToken("has another secret")
    if datum(tree, "token-id") != token.id:
        raise BadToken("has another ID")
    if is_expired(tree, now):
        raise BadToken("has expired")
    if not is_for(tree, "authentication"):
        raise BadToken("is not for authentication")
    extra = datum(tree, "auth-extra-groups")
    groups = extra.split(",") if extra else []
    for group in groups:
        _check_group(group)
    return sorted({GROUP, *groups})


def signer(tree: JsonObject, now: datetime) -> Token | None:
    """The token in a Secret if it signs `cluster-info` now."""
    token_id, held = datum(tree, "token-id"), datum(tree, "token-secret")
    if (
        tree.get("type") != SECRET_TYPE
        or not _ID.fullmatch(token_id)
        or tree["metadata"]["name"] != secret_name(token_id)
        or not held
        or is_expired(tree, now)
        or not is_for(tree, "signing")
    ):
        return None
    return Token(token_id, held)


def signature(content: str, token: Token) -> str:
    """The detached JWS (RFC 7515, appendix F; HS256) of a text by a token."""
    header = _base64url(msgspec.json.encode({"alg": "HS256", "kid": token.id}))
    signed = f"{header}.{_base64url(content.encode())}".encode()
    return f"{header}..{_base64url(hmac.digest(token.secret.encode(), signed, 'sha256'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _check_group(group: str) -> None:
    if not _EXTRA_GROUP.fullmatch(group):
        raise BadToken(f'"{group}" is no group of tokens: they begin with "{GROUP}:"')
