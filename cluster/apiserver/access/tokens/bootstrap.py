"""Who shows a bootstrap token: a machine that wants to become a node (`helpers.bootstraptoken`).

Source: Kubernetes v1.36, plugin/pkg/auth/authenticator/token/bootstrap. Invariant: the Secret is
looked at anew each time, so a token ends with its Secret or its expiration at once.
"""

from datetime import datetime

import structlog

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import BadToken
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

LENGTH = len("abcdef.0123456789abcdef")
"""Of every one, in characters; no signed token is that short."""

_log = structlog.get_logger(__name__)


def user_of(text: str, lookup: Lookup, now: datetime) -> User | None:
    """The user of a bootstrap token; None for all that is none, or no longer good."""
    try:
        token = bootstraptoken.parse(text)
    except BadToken:
        return None
    name = bootstraptoken.secret_name(token.id)
    stored = lookup.get(kinds.SECRETS, bootstraptoken.NAMESPACE, name)
    if stored is None:
        return None
    try:
        groups = bootstraptoken.groups_of(stored, token, now)
    except BadToken as error:
        _log.debug("bootstrap_token_refused", secret=name, why=str(error))
        return None
    return authenticated(bootstraptoken.USER_PREFIX + token.id, groups)
