"""The cluster's token key at work: issues tokens, says whose one is, publishes the public key.
Bootstrap tokens, which are no signed ones, are recognised here, too.

Source: Kubernetes v1.36, pkg/serviceaccount/{jwt,openidmetadata}.go,
apiserver/pkg/authentication/request/bearertoken. Invariants: the key is read when the first token
is asked for or shown, by a server without a file made then and forgotten with it; signatures that
were good are remembered, in bounded number, but whether the claims still hold is looked up anew
each time: who deletes an account ends its tokens at once.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import orjson

from kubeherd.cluster.api.errors import InternalError
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.webtokens import ALGORITHM, BadToken, TokenKey, unverified
from kubeherd.cluster.apiserver.access.tokens import bootstrap
from kubeherd.cluster.apiserver.access.tokens import claims as service_account
from kubeherd.cluster.apiserver.access.tokens.claims import ISSUER, LEGACY_ISSUER, Invalid
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User
from kubeherd.cluster.apiserver.read.lookup import Lookup
from kubeherd.cluster.runtime.clock import Clock

_LONGEST_CHARS = 16 * 1024
"""Tokens come in headers, of which servers take 8 KiB to 16 KiB."""
_REMEMBERED = 256
_INVALID = "invalid bearer token"
_BEARER_PARTS = 2


class TokenIssuer:
    """Issues and recognises tokens. `key_file` holds the private key in PEM."""

    def __init__(self, lookup: Lookup, clock: Clock, key_file: Path | None = None) -> None:
        self._lookup = lookup
        self._clock = clock
        self._key_file = key_file
        self._signed: dict[str, JsonObject] = {}

    @cached_property
    def _key(self) -> TokenKey:
        """InternalError if the file cannot be read as a key."""
        if self._key_file is None:
            return TokenKey.generate()
        try:
            return TokenKey.from_pem(self._key_file.read_bytes())
        except (OSError, ValueError) as error:
            raise InternalError(
                f"failed to generate token: {self._key_file.name}: {type(error).__name__}"
            ) from None

    def issue(self, claims: JsonObject) -> str:
        """A signed token."""
        return self._key.sign(claims)

    def user_of_header(self, authorization: str) -> User:
        """Who sends this Authorization header; anonymous if it shows no token. `Invalid` for a
        token that is not good."""
        parts = authorization.strip().split(" ")
        if len(parts) < _BEARER_PARTS or parts[0].lower() != "bearer" or not parts[1]:
            return ANONYMOUS
        return self.authenticate(parts[1], [ISSUER])[0]

    def authenticate(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]]:
        """Whose token it is and for which of `audiences` it is meant; `Invalid` for nobody's."""
        if len(token) == bootstrap.LENGTH and ISSUER in audiences:
            user = bootstrap.user_of(token, self._lookup, self._clock.now())
            if user is not None:
                return user, [ISSUER]
        claims = self._signed.get(token) or self._verified(token)
        meant = claims.get("aud") or [ISSUER]
        if isinstance(meant, str):  # RFC 7519, 4.1.3
            meant = [meant]
        common = [audience for audience in meant if audience in audiences]
        if not common:
            raise Invalid(
                f"token audiences {_go(meant)} is invalid for the target audiences {_go(audiences)}"
            )
        user = service_account.user_of(claims, token, self._lookup, self._clock.now())
        return user, common

    def _verified(self, token: str) -> JsonObject:
        try:
            if len(token) > _LONGEST_CHARS or not _ours(unverified(token)[1]):
                raise Invalid(_INVALID)
        except BadToken:
            raise Invalid(_INVALID) from None
        try:
            claims = self._key.claims(token)
        except BadToken as error:
            raise Invalid(str(error)) from None
        if len(self._signed) >= _REMEMBERED:
            self._signed.clear()
        self._signed[token] = claims
        return claims

    def configuration(self, jwks_uri: str) -> bytes:
        """``/.well-known/openid-configuration``."""
        return orjson.dumps({
            "issuer": ISSUER,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        })  # fmt: skip

    def key_set(self) -> bytes:
        """``/openid/v1/jwks``."""
        return orjson.dumps({"keys": [self._key.jwk()]})


def _ours(claims: JsonObject) -> bool:
    return claims.get("iss") in (ISSUER, LEGACY_ISSUER)


def _go(texts: Sequence[str]) -> str:
    """Go's ``%q`` of a []string."""
    return "[" + " ".join(map(quoted, texts)) + "]"
