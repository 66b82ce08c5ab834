"""Authentication by client certificate: CN is the user, each O a group.

Source: spec api-machinery, section 20. The TLS layer has already checked the certificate against
the cluster's authority; without a certificate a request is anonymous. Bearer tokens are not issued
by kubeherd, so a request that carries one is refused with 401 as a bad credential.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

AUTHENTICATED = "system:authenticated"


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
