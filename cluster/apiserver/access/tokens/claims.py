"""The claims of a service account's token, and whether they still hold (pure).

Source: Kubernetes v1.36, pkg/serviceaccount/{claims,legacy,util}.go. A token is worth what it
refers to: it ends with its account, and with the pod, secret or node that it is bound to; an object
of the same name made later is another one (uid).
"""

import hmac
from base64 import b64decode
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Of all tokens but those in Secrets, and the one audience of the API server."""
LEGACY_ISSUER = "kubernetes/serviceaccount"
LEEWAY = timedelta(minutes=1)
"""So long the clock that dated a token may differ (go-jose's DefaultLeeway)."""
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_PRIVATE = "kubernetes.io"
_LEGACY = "kubernetes.io/serviceaccount"
_EXTRA = "authentication.kubernetes.io"


class Invalid(Exception):
    """The token is not good, or no longer; the text is what a TokenReview shows."""


class Bound(msgspec.Struct, frozen=True):
    """What a token is bound to: an object's kind in claims (``pod``), its name and uid."""

    kind: str
    name: str
    uid: str


def of_request(
    account: JsonObject,
    bound: Sequence[Bound],
    audiences: Sequence[str],
    now: datetime,
    expires_s: int,
    token_id: str,
    warn_after_s: int = 0,
) -> JsonObject:
    """The claims of a token for an account. A pod is bound together with its node."""
    meta, issued = account["metadata"], int(now.timestamp())
    private: JsonObject = {"namespace": meta["namespace"]}
    for one in bound:
        private[one.kind] = {"name": one.name, **({"uid": one.uid} if one.uid else {})}
    private["serviceaccount"] = {"name": meta["name"], "uid": meta["uid"]}
    if warn_after_s:
        private["warnafter"] = issued + warn_after_s
    return {
        "aud": list(audiences),
        "exp": issued + expires_s,
        "iat": issued,
        "iss": ISSUER,
        "jti": token_id,
        _PRIVATE: private,
        "nbf": issued,
        "sub": user_name(meta["namespace"], meta["name"]),
    }


def user_name(namespace: str, name: str) -> str:
    """The user name of an account."""
    return f"system:serviceaccount:{namespace}:{name}"


def user_of(claims: JsonObject, token: str, lookup: Lookup, now: datetime) -> User:
    """The account whose signed `token` has these claims; `Invalid` if they do not hold."""
    if claims.get("iss") == LEGACY_ISSUER:
        return _legacy_user(claims, token, lookup)
    _check_times(claims, now)
    private = _member(claims, _PRIVATE)
    namespace, account = _text(private, "namespace"), _member(private, "serviceaccount")
    name, uid = _text(account, "name"), _text(account, "uid")
    stored = _account(lookup, namespace, name)
    if stored["metadata"]["uid"] != uid:
        raise Invalid(
            f"service account UID ({stored['metadata']['uid']}) does not match claim ({uid})"
        )
    if _gone(stored, now):
        raise Invalid(f"service account {namespace}/{name} has been deleted")
    extra = dict(_check_bound(private, lookup, now))
    if token_id := _text(claims, "jti"):
        extra[f"{_EXTRA}/credential-id"] = f"JTI={token_id}"
    return _user(namespace, name, uid, extra)


def _user(namespace: str, name: str, uid: str, extra: dict[str, str]) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    user = authenticated(user_name(namespace, name), groups)
    facts = tuple((key, (extra[key],)) for key in sorted(extra))
    return User(user.name, user.groups, uid, facts)


def _check_times(claims: JsonObject, now: datetime) -> None:
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    if (expires := _seconds(claims, "exp")) is not None and moment - leeway > expires:
        raise Invalid("service account token has expired")
    if moment + leeway < (_seconds(claims, "nbf") or 0):
        raise Invalid("service account token is not valid yet")
    if moment + leeway < (_seconds(claims, "iat") or 0):
        raise Invalid("service account token is issued in the future")


def _seconds(claims: JsonObject, key: str) -> float | None:
    """A moment in seconds since the epoch."""
    value = claims.get(key)
    return float(value) if isinstance(value, int | float) else None


_BINDABLE: dict[str, Resource] = {
    "secret": kinds.SECRETS,
    "pod": kinds.PODS,
    "node": kinds.NODES,
}
"""By what claims call them, in the order in which they are looked at."""


def _check_bound(private: JsonObject, lookup: Lookup, now: datetime) -> Iterator[tuple[str, str]]:
    """What is told about the holder: pod and node with their uids. `Invalid` if one has gone."""
    for kind, resource in _BINDABLE.items():
        if kind not in private:
            continue
        reference = _member(private, kind)
        name, uid = _text(reference, "name"), _text(reference, "uid")
        # The node of a pod's token is information only.
        if kind != "node" or "pod" not in private:
            namespace = _text(private, "namespace") if resource.namespaced else ""
            _check_same(lookup.get(resource, namespace, name), kind, uid, now)
        if kind != "secret":
            yield f"{_EXTRA}/{kind}-name", name
            if uid:
                yield f"{_EXTRA}/{kind}-uid", uid


def _check_same(stored: JsonObject | None, kind: str, uid: str, now: datetime) -> None:
    if stored is None or _gone(stored, now):
        raise Invalid("service account token has been invalidated")
    own = stored["metadata"]["uid"]
    if own != uid:
        raise Invalid(f"{kind} UID ({own}) does not match service account {kind} ref claim ({uid})")


def _gone(stored: JsonObject, now: datetime) -> bool:
    deleted = stored["metadata"].get("deletionTimestamp")
    return bool(deleted) and parse_time(deleted) < now - LEEWAY


def _legacy_user(claims: JsonObject, token: str, lookup: Lookup) -> User:
    """The account of a token that lives in a Secret, for as long as that is there."""
    named = {
        key: _text(claims, f"{_LEGACY}/{claim}")
        for key, claim in (
            ("namespace", "namespace"), ("secretName", "secret.name"),
            ("serviceAccountName", "service-account.name"),
            ("serviceAccountUID", "service-account.uid"),
        )
    }  # fmt: skip
    for key, value in named.items():
        if not value:
            raise Invalid(f"{key} claim is missing")
    namespace, secret_name, name, uid = named.values()
    if claims.get("sub") != user_name(namespace, name):
        raise Invalid("sub claim is invalid")
    secret = lookup.get(kinds.SECRETS, namespace, secret_name)
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        raise Invalid("Token has been invalidated")
    held = b64decode((secret.get("data") or {}).get("token") or "")
    if not hmac.compare_digest(held, token.encode()):
        raise Invalid("Token does not match server's copy")
    stored = _account(lookup, namespace, name)
    if stored["metadata"].get("deletionTimestamp"):
        raise Invalid(f"ServiceAccount {namespace}/{name} has been deleted")
    if stored["metadata"]["uid"] != uid:
        raise Invalid(
            f"ServiceAccount UID ({stored['metadata']['uid']}) does not match claim ({uid})"
        )
    if (secret["metadata"].get("labels") or {}).get(INVALID_SINCE):
        raise Invalid(
            f"the token in secret {namespace}/{secret_name} for service account {namespace}/{name} "
            "has been marked invalid. Use tokens from the TokenRequest API or manually created "
            f"secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to "
            "temporarily allow use of this token"
        )
    return _user(namespace, name, uid, {})


def _account(lookup: Lookup, namespace: str, name: str) -> JsonObject:
    stored = lookup.get(kinds.SERVICEACCOUNTS, namespace, name)
    if stored is None:
        raise Invalid(errors.not_found(kinds.SERVICEACCOUNTS, name).message)
    return stored


def _member(tree: JsonObject, key: str) -> JsonObject:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def _text(tree: JsonObject, key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""
