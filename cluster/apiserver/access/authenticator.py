"""Who sends a request: decided by the certificate of its connection and the token that it shows."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access.authn import Identity
from kubeherd.cluster.apiserver.access.tokens.claims import Invalid
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User
from kubeherd.cluster.runtime.clock import Clock


class Authenticator:
    """Knows the tokens of one server, and the time."""

    def __init__(self, tokens: TokenIssuer, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    def user(self, identity: Identity, authorization: str | None) -> User:
        """Who sends a request: of a good certificate and a token the certificate decides.
        Unauthorized if what is shown is not good."""
        if identity.user is not ANONYMOUS:
            expired = identity.expires is not None and self._clock.now() > identity.expires
            if not expired:
                return identity.user
        elif not identity.refused:
            return self.of_header(authorization) if authorization else ANONYMOUS
        raise errors.Unauthorized("Unauthorized")

    def of_header(self, authorization: str) -> User:
        """Who shows the token in an Authorization header; Unauthorized if it is not good."""
        try:
            return self._tokens.user_of_header(authorization)
        except Invalid:
            raise errors.Unauthorized("Unauthorized") from None
