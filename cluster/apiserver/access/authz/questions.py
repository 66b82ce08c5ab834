"""From what was sent to the question for the authorizer: requests, specs of access reviews.

Source: Kubernetes v1.36, apiserver/pkg/endpoints/filters/authorization.go,
pkg/registry/authorization/util/helpers.go.
"""

from contextlib import suppress

from kubeherd.cluster.api import errors, fields, kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.fields import EVERYTHING, FieldRequirement, FieldSelector
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes
from kubeherd.cluster.apiserver.edge import routing
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, User
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath

_OPERATORS = {"In": False, "NotIn": True}


def of_request(request: ApiRequest) -> Attributes:
    """What a request asks to do, also one that will turn out to be impossible."""
    if request.path.startswith(("/api/", "/apis/")):
        with suppress(UnknownPath, ApiError):
            return of_route(request, routing.parse(request.method, request.path, request.query))
    return of_path(request)


_VERBS = {
    "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch",
    "DELETE": "delete",
}  # fmt: skip
_OF_NAMESPACES = ("status", "finalize")


def of_unknown(request: ApiRequest) -> Attributes:
    """A request for a path that is not served, judged by what it looks like: who may not read a
    resource does not learn that there is none (apiserver/pkg/endpoints/request/requestinfo.go)."""
    root, *parts = request.path.strip("/").split("/")
    group = parts.pop(0) if root == "apis" and parts else ""
    if root not in ("api", "apis") or len(parts) < 2:
        return of_path(request)
    version, *parts = parts
    verb = _VERBS.get(request.method, "")
    if parts[0] in ("watch", "proxy") and len(parts) > 1:
        verb = parts.pop(0)
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _OF_NAMESPACES:
            parts = parts[2:]
    resource, name, subresource = [*parts, "", ""][:3]
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        if verb == "list" and routing.is_watch(request.query):
            verb = "watch"
    return Attributes(
        user=request.user,
        verb=verb,
        group=group,
        version=version,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def of_route(request: ApiRequest, route: Route) -> Attributes:
    """A request for a resource. A list of one name asks for that name, and a Namespace object
    counts as being in itself."""
    resource, name, selector = route.resource, route.name, EVERYTHING
    if route.verb in ("list", "watch", "deletecollection"):
        selector = _understood(request.query.get("fieldSelector", ""))
        name = name or selector.exact("metadata.name") or ""
    return Attributes(
        user=request.user,
        verb=route.verb,
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=route.subresource_name,
        namespace=name if resource is kinds.NAMESPACES else route.namespace,
        name=name,
        field_selector=selector,
    )


def of_path(request: ApiRequest) -> Attributes:
    """A request for a path that is no resource."""
    verb = request.method.lower()
    return Attributes(request.user, "get" if verb == "head" else verb, path=request.path)


def of_review(user: User, spec: JsonObject) -> Attributes:
    """The question of a decoded spec: ``resourceAttributes`` or ``nonResourceAttributes``."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec.get("nonResourceAttributes") or {}
        return Attributes(user=user, verb=path.get("verb", ""), path=path.get("path", ""))
    return Attributes(
        user=user,
        verb=resource.get("verb", ""),
        group=resource.get("group", ""),
        version=resource.get("version", ""),
        resource=resource.get("resource", ""),
        subresource=resource.get("subresource", ""),
        namespace=resource.get("namespace", ""),
        name=resource.get("name", ""),
        field_selector=_field_selector(resource.get("fieldSelector") or {}),
    )


def _understood(field_selector: str) -> FieldSelector:
    """The selector that a text describes; a malformed one narrows nothing, and is refused later."""
    try:
        return fields.parse(field_selector)
    except errors.BadRequest:
        return EVERYTHING


def _field_selector(tree: JsonObject) -> FieldSelector:
    """What of a selector is understood: the rest makes the question broader, never narrower."""
    requirements = tree.get("requirements") or ()
    if not requirements:
        return _understood(tree.get("rawSelector", ""))
    return FieldSelector(tuple(
        FieldRequirement(one.get("key", ""), one["values"][0], _OPERATORS[one["operator"]])
        for one in requirements
        if one.get("operator") in _OPERATORS and len(one.get("values") or ()) == 1
    ))  # fmt: skip
