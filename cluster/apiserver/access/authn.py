"""Authentication by client certificate: CN is the user, each O a group.

Bearer tokens are the package `tokens`'.

Source: spec api-machinery, section 20. The TLS layer has already checked the certificate against
the cluster's authority (one that is not good is refused with 401); without a certificate a request
without a token is anonymous. Kubernetes looks
at the certificate again with each request; what can change in between is that it expires.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

AUTHENTICATED = "system:authenticated"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Identity(msgspec.Struct, frozen=True):
    """Who is at the other end of a connection, and until when."""

    user: User
    expires: datetime | None = None
    """When the certificate stops to be valid; None without one."""

    refused: bool = False
    """Whether there was a certificate that is not good: 401, whatever the request."""


NOBODY = Identity(ANONYMOUS)
REFUSED = Identity(ANONYMOUS, refused=True)


def identity_of(certificate: Mapping[str, Any] | None) -> Identity:
    """The identity in a verified peer certificate, as `user_from_certificate`."""
    if not certificate:
        return NOBODY
    return Identity(user_from_certificate(certificate), _moment(certificate["notAfter"]))


def _moment(text: str) -> datetime:
    """A time as `getpeercert()` writes it: ``Jan  5 09:34:43 2018 GMT``.

    `ssl.cert_time_to_seconds` reads it with strptime: for the first certificate that takes longer
    than all else, and every API server has a first one.
    """
    month, day, clock, year, _ = text.split()
    hour, minute, second = map(int, clock.split(":"))
    number = _MONTHS.index(month) + 1
    return datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)


def user_from_certificate(certificate: Mapping[str, Any] | None) -> User:
    """The identity in a peer certificate as ``ssl.SSLSocket.getpeercert()`` gives it."""
    if not certificate:
        return ANONYMOUS
    name = ""
    groups: list[str] = []
    for relative_name in certificate.get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    if not name:
        return ANONYMOUS
    return authenticated(name, groups)


def authenticated(name: str, groups: Iterable[str] = ()) -> User:
    """A user with its groups and ``system:authenticated``."""
    return User(name, tuple(dict.fromkeys([*groups, AUTHENTICATED])))


SERVER = authenticated("system:apiserver", ["system:masters"])
"""The identity under which the server writes what it decides itself."""
