"""Authentication: the user of a request, by its connection's certificate or its bearer token."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access.authn import Identity
from kubeherd.cluster.apiserver.access.tokens.claims import Invalid
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User
from kubeherd.cluster.runtime.clock import Clock


class Authenticator:
    """Authenticates the requests of one server."""

    def __init__(self, tokens: TokenIssuer, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    def user(self, identity: Identity, authorization: str | None) -> User:
        """The user of a request with this Authorization header, on a connection with this identity;
        a valid certificate comes before a token. Unauthorized if either is not valid."""
        if identity.user is not ANONYMOUS:
            expired = identity.expires is not None and self._clock.now() > identity.expires
            if not expired:
                return identity.user
        elif not identity.refused:
            return self.of_header(authorization) if authorization else ANONYMOUS
        raise errors.Unauthorized("Unauthorized")

    def of_header(self, authorization: str) -> User:
        """The user of the token in an Authorization header; Unauthorized if it is not valid."""
        try:
            return self._tokens.user_of_header(authorization)
        except Invalid:
            raise errors.Unauthorized("Unauthorized") from None
