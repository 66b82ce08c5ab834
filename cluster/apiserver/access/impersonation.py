"""Acting as somebody else: the ``Impersonate-User`` and ``Impersonate-Group`` headers.

``kubectl --as`` sends them. The real user must be allowed the verb ``impersonate`` on the user and
on each group; service accounts are impersonated by their user name.
"""

from collections.abc import Mapping

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access.authn import AUTHENTICATED
from kubeherd.cluster.apiserver.access.authz import Attributes, Authorizer
from kubeherd.cluster.apiserver.access.authz.attributes import refusal_text
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

_ACCOUNT = "system:serviceaccount:"


def effective_user(user: User, headers: Mapping[str, str], authorizer: Authorizer) -> User:
    """The user as whom the request runs; Forbidden if `user` may not impersonate that one."""
    name = headers.get("impersonate-user", "")
    given = headers.get("impersonate-group", "")
    if not name:
        if given:
            raise errors.BadRequest("requested impersonation of groups without a user")
        return user
    groups = [group.strip() for group in given.split(",") if group.strip()]
    _require(user, "users", name, authorizer)
    for group in groups:
        _require(user, "groups", group, authorizer)
    if name.startswith(_ACCOUNT):
        namespace = name.removeprefix(_ACCOUNT).partition(":")[0]
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    groups += list(ANONYMOUS.groups) if name == ANONYMOUS.name else [AUTHENTICATED]
    return User(name, tuple(dict.fromkeys(groups)))


def _require(user: User, resource: str, name: str, authorizer: Authorizer) -> None:
    attributes = Attributes(user=user, verb="impersonate", resource=resource, name=name)
    decision = authorizer.authorize(attributes)
    if not decision.allowed:
        raise errors.Forbidden(
            f'{resource} "{name}" is forbidden: {refusal_text(attributes, decision.reason)}',
            details={"name": name, "kind": resource},
        )
