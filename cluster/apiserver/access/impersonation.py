"""Acting as somebody else: the ``Impersonate-*`` headers, which ``kubectl --as`` sends.

Source: Kubernetes v1.36, apiserver/pkg/endpoints/filters/impersonation/{constrained_impersonation,
mode}.go. One of several modes must allow it. The constrained ones need the right to do just this
request in the mode (``impersonate-on:<mode>:<verb>``) and the right to be that user
(``impersonate:<mode>``); the legacy one needs the verb ``impersonate`` on the user and on each
group, uid and extra value. The mode ``associated-node`` lets a service account act as the node that
its token names. A refusal is that of the first mode that applies.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api import errors, names
from kubeherd.cluster.api.goformat import quoted, string_slice
from kubeherd.cluster.apiserver.access.authn import AUTHENTICATED
from kubeherd.cluster.apiserver.access.authz import Attributes, Authorizer
from kubeherd.cluster.apiserver.access.authz.attributes import refusal
from kubeherd.cluster.apiserver.access.authz.authorizer import SUPERUSERS
from kubeherd.cluster.apiserver.access.kubelets import NODE_USER_PREFIX, NODES_GROUP
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

PREFIX = "impersonate-"
_EXTRA_PREFIX = "impersonate-extra-"
_ACCOUNT_PREFIX = "system:serviceaccount:"
_ACCOUNTS = "system:serviceaccounts"
_UNAUTHENTICATED = ANONYMOUS.groups[0]
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_NODE_NAME = "authentication.kubernetes.io/node-name"
_MANY = 4
"""So many groups or extra values are first asked for at once, with the name ``*``."""
_EXTRA_KEY = re.compile(r"[^/]+/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


class Mode(Enum):
    """How one may be allowed to act as another, in the order in which they are tried."""

    ASSOCIATED_NODE = "associated-node"
    ARBITRARY_NODE = "arbitrary-node"
    SERVICE_ACCOUNT = "serviceaccount"
    USER_INFO = "user-info"
    LEGACY = ""


class Wanted(msgspec.Struct):
    """The headers' content, as sent."""

    name: str = ""
    uid: str = ""
    groups: list[str] = msgspec.field(default_factory=list)
    extra: dict[str, list[str]] = msgspec.field(default_factory=dict)

    @property
    def only_name(self) -> bool:
        return not (self.uid or self.groups or self.extra)

    def in_go(self) -> str:
        """Go's ``%#v``, which Kubernetes shows."""
        groups = string_slice(self.groups) if self.groups else "[]string(nil)"
        extra = ", ".join(f"{quoted(k)}:{string_slice(self.extra[k])}" for k in sorted(self.extra))
        extra = f"map[string][]string{{{extra}}}" if extra else "map[string][]string(nil)"
        return (
            f"&user.DefaultInfo{{Name:{quoted(self.name)}, UID:{quoted(self.uid)}, "
            f"Groups:{groups}, Extra:{extra}}}"
        )


def parse(lines: Iterable[tuple[str, str]]) -> Wanted | None:
    """What the header lines ask for, None for nothing; BadRequest if they name no user.

    Of user and uid the first line counts; each line of a group or an extra key adds one."""
    wanted = Wanted()
    single: dict[str, str] = {}
    for name, value in lines:
        if name == "impersonate-group":
            wanted.groups.append(value)
        elif name.startswith(_EXTRA_PREFIX):
            key = _unescaped(name.removeprefix(_EXTRA_PREFIX))
            wanted.extra.setdefault(key, []).append(value)
        else:
            single.setdefault(name, value)
    wanted.name = single.get("impersonate-user", "")
    wanted.uid = single.get("impersonate-uid", "")
    if wanted.name:
        return wanted
    if wanted.only_name:
        return None
    raise errors.BadRequest(f"requested {wanted.in_go()} without impersonating a user name")


def _unescaped(key: str) -> str:
    """A %-encoded key; one with a malformed escape is taken as it is."""
    return key if _BAD_ESCAPE.search(key) else unquote(key)


def effective_user(wanted: Wanted, request: Attributes, authorizer: Authorizer) -> User:
    """The user as whom `request` runs; Forbidden if its user may not act as that one."""
    refusals = []
    for mode in Mode:
        if _applies(mode, wanted, request.user):
            try:
                return _Check(mode, request, authorizer).user(wanted)
            except errors.Forbidden as error:
                refusals.append(error)
    raise refusals[0]


def _applies(mode: Mode, wanted: Wanted, requester: User) -> bool:
    match mode:
        case Mode.ASSOCIATED_NODE:
            node = _node_name(wanted.name)
            return wanted.only_name and bool(node) and _is_on(requester, node)
        case Mode.ARBITRARY_NODE:
            return wanted.only_name and bool(_node_name(wanted.name))
        case Mode.SERVICE_ACCOUNT:
            return wanted.only_name and _account(wanted.name) is not None
        case Mode.USER_INFO:
            return not _node_name(wanted.name) and _account(wanted.name) is None
        case Mode.LEGACY:
            return True


class _Check:
    """One mode's questions to the authorizer."""

    def __init__(self, mode: Mode, request: Attributes, authorizer: Authorizer) -> None:
        self._constrained = mode is not Mode.LEGACY
        self._mode = mode
        self._request = request
        self._authorizer = authorizer

    def user(self, wanted: Wanted) -> User:
        """The user if all of it is allowed, else Forbidden."""
        if self._constrained:
            verb = f"impersonate-on:{self._mode.value}:{self._request.verb}"
            self._require(replace(self._request, verb=verb))
        groups = self._named(wanted)
        if wanted.uid:
            self._require(self._question("uids", wanted.uid))
        self._check_groups(wanted.groups)
        self._check_extra(wanted.extra)
        unauthenticated = wanted.name == ANONYMOUS.name or _UNAUTHENTICATED in groups
        everybody = _UNAUTHENTICATED if unauthenticated else AUTHENTICATED
        if everybody not in groups:
            groups.append(everybody)
        extra = tuple((key, tuple(values)) for key, values in sorted(wanted.extra.items()))
        return User(wanted.name, tuple(groups), wanted.uid, extra)

    def _named(self, wanted: Wanted) -> list[str]:
        """Ask for the name; the groups that come with it and those that were asked for."""
        groups = list(wanted.groups)
        question = self._question("users", wanted.name)
        if self._constrained and (node := _node_name(wanted.name)):
            # The right is one to be the own node, whichever that is.
            associated = self._mode is Mode.ASSOCIATED_NODE
            question = self._question("nodes", "*" if associated else node)
            groups = [NODES_GROUP]
        elif account := _account(wanted.name):
            namespace, name = account
            question = replace(self._question("serviceaccounts", name), namespace=namespace)
            groups = groups or [_ACCOUNTS, f"{_ACCOUNTS}:{namespace}"]
        self._require(question)
        return groups

    def _check_groups(self, groups: Sequence[str]) -> None:
        if self._constrained:
            if "" in groups:
                self._refuse("groups", "", "impersonating the empty string group is not allowed")
            if SUPERUSERS in groups:
                self._refuse(
                    "groups",
                    SUPERUSERS,
                    f"impersonating the {SUPERUSERS} group is not allowed",
                )
            if len(groups) >= _MANY and self._allowed(self._question("groups", "*")):
                return
        for group in groups:
            self._require(self._question("groups", group))

    def _check_extra(self, extra: dict[str, list[str]]) -> None:
        if self._constrained:
            for problem in _extra_problems(extra):
                self._refuse("userextras", "", problem)
            everything = replace(self._question("userextras", "*"), subresource="*")
            if sum(map(len, extra.values())) >= _MANY and self._allowed(everything):
                return
        for key, values in extra.items():
            for value in values:
                self._require(replace(self._question("userextras", value), subresource=key))

    def _question(self, resource: str, name: str) -> Attributes:
        legacy = not self._constrained and resource not in ("uids", "userextras")
        return Attributes(
            user=self._request.user,
            verb=f"impersonate:{self._mode.value}" if self._constrained else "impersonate",
            group="" if legacy else "authentication.k8s.io",
            version="v1",
            resource=resource,
            name=name,
        )

    def _allowed(self, attributes: Attributes) -> bool:
        return self._authorizer.authorize(attributes).allowed

    def _require(self, attributes: Attributes) -> None:
        decision = self._authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    def _refuse(self, resource: str, name: str, why: str) -> None:
        raise refusal(self._question(resource, name), why)


def _extra_problems(extra: dict[str, list[str]]) -> Iterator[str]:
    for key, values in extra.items():
        if not key:
            yield "impersonating the empty string key in extra is not allowed"
        elif not _EXTRA_KEY.fullmatch(key) or names.dns_subdomain(key.partition("/")[0]):
            yield (
                "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "
                f'{quoted(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
            )
        elif key != key.lower():
            yield f"impersonating a non-lowercase key in extra is not allowed: {quoted(key)}"
        elif "" in values:
            yield "impersonating the empty string value in extra is not allowed"


def _node_name(username: str) -> str:
    """The node of a kubelet's user name, "" for others."""
    name = username.removeprefix(NODE_USER_PREFIX)
    return "" if name == username or names.dns_subdomain(name) else name


def _is_on(requester: User, node: str) -> bool:
    """Whether a service account shows a token that is bound to the node, or to a pod on it."""
    return _account(requester.name) is not None and (_NODE_NAME, (node,)) in requester.extra


def _account(username: str) -> tuple[str, str] | None:
    """Namespace and name of a service account's user name, None for others."""
    parts = username.removeprefix(_ACCOUNT_PREFIX).split(":")
    if not username.startswith(_ACCOUNT_PREFIX) or len(parts) != 2:
        return None
    namespace, name = parts
    if names.dns_label(namespace) or names.dns_subdomain(name):
        return None
    return namespace, name
