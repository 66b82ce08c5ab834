"""From an HTTP method and path to what is meant: resource, namespace, name, subresource, verb.

Source: spec api-machinery, section 1. Pure and allocation-light, because every request passes here:
one split of the path and a few dictionary look-ups. Invariant: a `Route` names only resources and
subresources that are served, and its verb is one that the resource or subresource allows.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.kinds import Resource, Subresource
from kubeherd.cluster.apiserver.access.kubelets import LEASE_NAMESPACE
from kubeherd.cluster.apiserver.edge import parameters

NOT_FOUND_TEXT = "the server could not find the requested resource"
METHOD_TEXT = "the server does not allow this method on the requested resource"

_REQUEST_LINE = re.compile(rb"([A-Z]+ )([^ \x00-\x1f\x7f]+)( HTTP/1\.[01])")
_ASCII_END = 0x80

_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ITEM_VERBS = {
    "GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
    "DELETE": "delete",
}  # fmt: skip
_CONNECT = frozenset({"exec", "attach", "portforward", "proxy"})


class Route(msgspec.Struct, frozen=True, gc=False):
    """One request for a resource. `verb` is the verb of Kubernetes: get, list, watch, create,
    update, patch, delete or deletecollection. `namespace` is empty for cluster scope and for a
    collection over all namespaces; `remainder` is the path below a subresource like ``proxy``."""

    resource: Resource
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: Subresource | None = None
    remainder: str = ""

    @property
    def subresource_name(self) -> str:
        return self.subresource.name if self.subresource is not None else ""


class UnknownPath(Exception):
    """The path belongs to no served group and version: a plain-text 404."""


_GROUP_VERSIONS: dict[tuple[str, str], dict[str, Resource]] = {}
for _resource in (*kinds.ALL, *kinds.COMPUTED):
    _GROUP_VERSIONS.setdefault((_resource.group, _resource.version), {})[_resource.plural] = (
        _resource
    )
_SUBRESOURCES: dict[tuple[str, str, str, str], Subresource] = {
    (r.group, r.version, r.plural, sub.name): sub for r in kinds.ALL for sub in r.subresources
}


NODE_LEASES = f"{kinds.LEASES.path(LEASE_NAMESPACE)}/"
"""How the path of a node's Lease begins."""
_NONE: Mapping[tuple[str, str], Mapping[str, Resource]] = {}
_LONGEST_KEPT = 200
"""Characters of a path of which the route is remembered."""
_NAME_AT = {"api": 6, "apis": 7}
"""Where the name of an object in a namespace stands in a path."""
_ANY = "-"
"""Stands for a name: no route depends on which it is."""


def origin_form(target: str) -> str:
    """The path and query of a request target, which may be an absolute URI (RFC 9112, 3.2.2)."""
    if target.startswith("/"):
        return target
    _, found, rest = target.partition("://")
    if not found:
        return target
    authority_end = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    path = rest[authority_end:]
    return path if path.startswith("/") else f"/{path}"


def escaped_target(request: bytes) -> bytes:
    """The first bytes of a request, with those of its target that are no ASCII escaped.

    What does not begin with a whole request line is returned as it is.
    """
    line, end, rest = request.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or not end:
        return request
    target = b"".join(
        b"%%%02X" % byte if byte >= _ASCII_END else bytes((byte,)) for byte in match[2]
    )
    return b"".join((match[1], target, match[3], end, rest))


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether ``watch`` asks for one: any value other than 0 and false, also the empty one."""
    return "watch" in query and parameters.boolean(query, "watch")


def parse(
    method: str,
    path: str,
    query: Mapping[str, str],
    custom: Mapping[tuple[str, str], Mapping[str, Resource]] = _NONE,
) -> Route:
    """The route of a path below ``/api/<v>/`` or ``/apis/<g>/<v>/`` that names a resource.

    `custom` holds the resources of CustomResourceDefinitions, by group and version, then by plural.

    Raises `UnknownPath` for an unserved group or version, `NotFound` for an unknown resource or
    subresource, `MethodNotAllowed` for a method that the resource does not have.
    """
    watching = method == "GET" and is_watch(query)
    if custom or len(path) > _LONGEST_KEPT:
        return _parsed(method, path, watching, custom)
    parts = path.split("/")
    at = _NAME_AT.get(parts[1], len(parts))
    if at < len(parts) and parts[at - 3] == "namespaces" and (name := parts[at]):
        parts[at] = _ANY
        kept = _kept(method, "/".join(parts), watching)
        return Route(
            kept.resource, kept.verb, kept.namespace, name, kept.subresource, kept.remainder
        )
    return _kept(method, path, watching)


def node_lease_update(method: str, path: str) -> Route | None:
    """What `parse` says of the update of a node's Lease, which is the most frequent of all."""
    if method != "PUT" or not path.startswith(NODE_LEASES):
        return None
    name = path[len(NODE_LEASES) :]
    if not name or "/" in name:
        return None
    return Route(kinds.LEASES, "update", LEASE_NAMESPACE, name)


@lru_cache(maxsize=1024)
def _kept(method: str, path: str, watching: bool) -> Route:
    """Clients ask again and again for the same, but for the names of objects in namespaces."""
    return _parsed(method, path, watching, _NONE)


def _parsed(
    method: str,
    path: str,
    watching: bool,
    custom: Mapping[tuple[str, str], Mapping[str, Resource]],
) -> Route:
    parts = path.split("/")
    if parts[1] == "api" and len(parts) > 3:
        by_plural = _GROUP_VERSIONS.get(("", parts[2]))
        rest = parts[3:]
    elif parts[1] == "apis" and len(parts) > 4:
        group_version = (parts[2], parts[3])
        by_plural = _GROUP_VERSIONS.get(group_version)
        if custom and group_version in custom:
            by_plural = {**custom[group_version], **(by_plural or {})}
        rest = parts[4:]
    else:
        raise UnknownPath(path)
    if by_plural is None:
        raise UnknownPath(path)
    if rest[-1] == "":
        rest.pop()
        if not rest:
            raise UnknownPath(path)  # of the group and version itself: discovery
    watch_prefix = bool(rest) and rest[0] == "watch"
    if watch_prefix:
        rest = rest[1:]
    namespace, rest = _namespace(rest)
    if not rest or not all(rest[:3]):
        raise _unserved()
    resource = by_plural.get(rest[0])
    if resource is None or (namespace and not resource.namespaced):
        raise _unserved()
    if len(rest) == 1:
        return _collection(resource, method, namespace, watching or watch_prefix, watch_prefix)
    if resource.namespaced and not namespace:
        raise _unserved()
    if watch_prefix:
        return _watch_item(resource, method, namespace, rest)
    if len(rest) == 2:
        return _item(resource, method, namespace, rest[1])
    return _subresource(resource, method, namespace, rest)


def _namespace(rest: list[str]) -> tuple[str, list[str]]:
    """Take ``namespaces/<ns>`` off, unless the Namespace itself (or its subresource) is meant."""
    if len(rest) < 3 or rest[0] != "namespaces":
        return "", rest
    if len(rest) == 3 and ("", "v1", "namespaces", rest[2]) in _SUBRESOURCES:
        return "", rest
    return rest[1], rest[2:]


def _collection(
    resource: Resource, method: str, namespace: str, watching: bool, watch_prefix: bool
) -> Route:
    verb = _COLLECTION_VERBS.get(method)
    if verb is None or (resource.namespaced and not namespace and verb == "create"):
        raise _not_allowed()
    if verb == "list" and watching:
        verb = "watch"
    if watch_prefix and verb != "watch":
        raise _not_allowed()
    if verb not in resource.verbs:
        raise _not_allowed()
    if verb == "deletecollection" and resource.namespaced and not namespace:
        raise _not_allowed()
    return Route(resource, verb, namespace)


def _watch_item(resource: Resource, method: str, namespace: str, rest: list[str]) -> Route:
    if len(rest) != 2:
        raise _unserved()
    if method != "GET" or "watch" not in resource.verbs:
        raise _not_allowed()
    return Route(resource, "watch", namespace, rest[1])


def _item(resource: Resource, method: str, namespace: str, name: str) -> Route:
    verb = _ITEM_VERBS.get(method)
    if verb is None or verb == "create" or verb not in resource.verbs:
        raise _not_allowed()
    return Route(resource, verb, namespace, name)


def _subresource(resource: Resource, method: str, namespace: str, rest: list[str]) -> Route:
    if resource.custom is None:
        sub = _SUBRESOURCES.get((resource.group, resource.version, resource.plural, rest[2]))
    else:
        sub = resource.subresource(rest[2])
    if sub is None or (len(rest) > 3 and sub.name not in _CONNECT):
        raise _unserved()
    verb = _ITEM_VERBS.get(method)
    if verb is None or verb not in sub.verbs:
        raise _not_allowed()
    return Route(resource, verb, namespace, rest[1], sub, "/".join(rest[3:]))


def _unserved() -> errors.NotFound:
    return errors.NotFound(NOT_FOUND_TEXT, details={})


def _not_allowed() -> errors.MethodNotAllowed:
    return errors.MethodNotAllowed(METHOD_TEXT, details={})
