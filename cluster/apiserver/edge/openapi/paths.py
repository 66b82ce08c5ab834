"""The operations of a resource in OpenAPI version 3.

kubectl looks for two things here: the kind behind a path (``x-kubernetes-group-version-kind`` of
its operations, for explain) and whether PATCH takes ``fieldValidation`` (for server-side
validation). Other clients get enough to know methods, bodies and answers.
"""

from typing import Final

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource, Subresource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.apiserver.edge.openapi.definitions import reference
from kubeherd.cluster.apiserver.strategies.base import returns_deleted_object

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_JSON = "application/json"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


def _query(name: str, kind: str, description: str) -> JsonObject:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": kind, "uniqueItems": True},
    }


def _in_path(name: str, description: str) -> JsonObject:
    return {
        "name": name,
        "in": "path",
        "description": description,
        "required": True,
        "schema": {"type": "string", "uniqueItems": True},
    }


_PRETTY = _query("pretty", "string", "If 'true', the output is indented.")
_DRY_RUN = _query("dryRun", "string", "If 'All', the request is checked but nothing is stored.")
_MANAGER = _query("fieldManager", "string", "Name of the actor whose fields the request sets.")
_VALIDATION = _query(
    "fieldValidation",
    "string",
    "How unknown and duplicate fields are treated: Ignore, Warn (default) or Strict.",
)
_FORCE = _query("force", "boolean", "Whether an apply takes over fields that others own.")
_WRITE = [_DRY_RUN, _MANAGER, _VALIDATION]
_DELETE = [
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "Seconds until the object is removed."),
    _query("propagationPolicy", "string", "What happens to dependents."),
]
_SELECTION = [
    _query("continue", "string", "Token of the next chunk of a list."),
    _query("fieldSelector", "string", "Fields that objects must have."),
    _query("labelSelector", "string", "Labels that objects must have."),
    _query("limit", "integer", "Most objects in the answer."),
    _query("resourceVersion", "string", "Version from which to read."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant."),
    _query("sendInitialEvents", "boolean", "Whether a watch begins with the objects there are."),
    _query("timeoutSeconds", "integer", "Seconds after which the request ends."),
]
_LIST = [
    *_SELECTION,
    _query("allowWatchBookmarks", "boolean", "Whether a watch sends bookmarks."),
    _query("watch", "boolean", "Whether to stream changes instead of a list."),
]
_ACTIONS: dict[str, tuple[str, str, list[JsonObject]]] = {
    "list": ("get", "list", _LIST),
    "create": ("post", "post", _WRITE),
    "deletecollection": ("delete", "deletecollection", [*_DELETE, *_SELECTION]),
    "get": ("get", "get", []),
    "update": ("put", "put", _WRITE),
    "patch": ("patch", "patch", [*_WRITE, _FORCE]),
    "delete": ("delete", "delete", _DELETE),
}
"""Verb -> HTTP method, x-kubernetes-action, query parameters."""
_OK = {"200": "OK"}
_OK_OR_CREATED = {**_OK, "201": "Created"}
_SUCCESSES = {
    "create": {**_OK_OR_CREATED, "202": "Accepted"},
    "update": _OK_OR_CREATED,
    "patch": _OK_OR_CREATED,
    "delete": {**_OK, "202": "Accepted"},
}
"""Verb -> the answers with a body of the same kind, where there are more than ``200``."""
_ON_COLLECTION = ("list", "create", "deletecollection")
_ON_ITEM = ("get", "update", "patch", "delete")
_OPERATION_NAMES = {
    "list": "list",
    "create": "create",
    "deletecollection": "delete",
    "get": "read",
    "update": "replace",
    "patch": "patch",
    "delete": "delete",
}


_EVERYWHERE = "ForAllNamespaces"
_CONNECTIONS = frozenset({"attach", "exec", "portforward", "proxy"})
"""Subresources whose requests go on to a kubelet or a server in a pod."""
_TEXTS = _CONNECTIONS | {"log"}
"""Subresources that answer with whatever there is to say, not with an object."""
_CALLED_STATUS = "namespaces"
"""Answers a DELETE with the object, while Kubernetes' document has a Status."""


def key_of(group: str, version: str, kind: str) -> str | None:
    """The definition of a kind, or None."""
    try:
        return schemas.key_of(group, version, kind)
    except KeyError:
        return None


def custom_key(resource: Resource, kind: str) -> str:
    """The definition of a kind of a CustomResourceDefinition: ``com.example.v1.Widget``."""
    domain = ".".join(reversed(resource.group.split(".")))
    return f"{domain}.{resource.version}.{kind}"


def _key(resource: Resource, kind: str) -> str | None:
    if resource.custom is not None:
        return custom_key(resource, kind)
    return key_of(resource.group, resource.version, kind)


def _content(key: str | None, *media_types: str) -> JsonObject:
    schema = {} if key is None else {"schema": reference(key)}
    return dict.fromkeys(media_types, schema)


def _told_deleted(resource: Resource) -> bool:
    return returns_deleted_object(resource) and resource.group_resource != _CALLED_STATUS


def _group_name(resource: Resource) -> str:
    """A group as a part of names: ``RbacAuthorization``."""
    words = (resource.group or "core").removesuffix(".k8s.io").split(".")
    return "".join(word.capitalize() for word in words)


def _tag(resource: Resource) -> str:
    group = _group_name(resource)
    return f"{group[0].lower()}{group[1:]}_{resource.version}"


def _operation_id(resource: Resource, name: str, place: str, suffix: str) -> str:
    """``listAppsV1NamespacedDeployment``; ``place``: what stands before the scope."""
    version = f"{_group_name(resource)}{resource.version.capitalize()}"
    scope = "Namespaced" if resource.namespaced and suffix != _EVERYWHERE else ""
    return f"{name}{version}{place}{scope}{resource.kind}{suffix}"


def _operation(
    resource: Resource, gvk: JsonObject, verb: str, suffix: str, body: str | None
) -> JsonObject:
    _, action, parameters = _ACTIONS[verb]
    answer = body
    if verb == "list":
        answer = _key(resource, f"{resource.kind}List")
    elif verb == "deletecollection" or (verb == "delete" and not _told_deleted(resource)):
        answer = META + "Status"
    out: JsonObject = {
        "tags": [_tag(resource)],
        "operationId": _operation_id(
            resource,
            _OPERATION_NAMES[verb],
            "Collection" if verb == "deletecollection" else "",
            suffix,
        ),
        **({"parameters": parameters} if parameters else {}),
        "responses": {
            **{
                code: {"description": text, "content": _content(answer, _JSON)}
                for code, text in _SUCCESSES.get(verb, _OK).items()
            },
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
    if verb in ("create", "update"):
        out["requestBody"] = {"content": _content(body, "*/*"), "required": True}
    elif verb == "patch":
        out["requestBody"] = {"content": _content(META + "Patch", *_PATCH_TYPES), "required": True}
    elif verb in ("delete", "deletecollection"):
        out["requestBody"] = {"content": _content(META + "DeleteOptions", "*/*")}
    return out


def resource_paths(resource: Resource) -> dict[str, JsonObject]:
    """Every path of a resource and its subresources with its operations."""
    gvk = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    body = _key(resource, resource.kind)
    root = f"{resource.root}/namespaces/{{namespace}}" if resource.namespaced else resource.root
    shared = [_PRETTY]
    if resource.namespaced:
        shared = [_in_path("namespace", "Namespace of the object"), _PRETTY]
    named = [_in_path("name", f"Name of the {resource.kind}"), *shared]
    collection = f"{root}/{resource.plural}"
    out: dict[str, JsonObject] = {}

    def add(path: str, verbs: list[str], parameters: list[JsonObject]) -> None:
        found: JsonObject = {
            _ACTIONS[verb][0]: _operation(resource, gvk, verb, "", body) for verb in verbs
        }
        if found:
            out[path] = {**found, "parameters": parameters}

    add(collection, [verb for verb in _ON_COLLECTION if verb in resource.verbs], shared)
    add(f"{collection}/{{name}}", [v for v in _ON_ITEM if v in resource.verbs], named)
    if resource.namespaced and "list" in resource.verbs:
        everywhere = _operation(resource, gvk, "list", _EVERYWHERE, body)
        out[f"{resource.root}/{resource.plural}"] = {"get": everywhere, "parameters": [_PRETTY]}
    for sub in resource.subresources:
        out[f"{collection}/{{name}}/{sub.name}"] = _subresource(resource, sub, named)
    return out


def _text_operation(resource: Resource, gvk: JsonObject, verb: str, name: str) -> JsonObject:
    method, action, _ = _ACTIONS[verb]
    suffix = name.capitalize()
    identifier = _operation_id(resource, _OPERATION_NAMES[verb], "", suffix)
    if name in _CONNECTIONS:
        action = "connect"
        identifier = _operation_id(resource, "connect", method.capitalize(), suffix)
    return {
        "tags": [_tag(resource)],
        "operationId": identifier,
        "responses": {
            "200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }


def _subresource(resource: Resource, sub: Subresource, named: list[JsonObject]) -> JsonObject:
    group = sub.group if sub.version else resource.group
    version = sub.version or resource.version
    gvk = {"group": group, "kind": sub.kind, "version": version}
    body = key_of(group, version, sub.kind) if sub.version else _key(resource, sub.kind)
    suffix = sub.name.capitalize()
    if sub.name in _TEXTS:
        texts: JsonObject = {
            _ACTIONS[verb][0]: _text_operation(resource, gvk, verb, sub.name) for verb in sub.verbs
        }
        return {**texts, "parameters": named}
    out: JsonObject = {
        _ACTIONS[verb][0]: _operation(resource, gvk, verb, suffix, body) for verb in sub.verbs
    }
    return {**out, "parameters": named}
