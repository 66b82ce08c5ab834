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
_LIST = [
    _query("allowWatchBookmarks", "boolean", "Whether a watch sends bookmarks."),
    _query("continue", "string", "Token of the next chunk of a list."),
    _query("fieldSelector", "string", "Fields that objects must have."),
    _query("labelSelector", "string", "Labels that objects must have."),
    _query("limit", "integer", "Most objects in the answer."),
    _query("resourceVersion", "string", "Version from which to read."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant."),
    _query("sendInitialEvents", "boolean", "Whether a watch begins with the objects there are."),
    _query("timeoutSeconds", "integer", "Seconds after which the request ends."),
    _query("watch", "boolean", "Whether to stream changes instead of a list."),
]
_ACTIONS: dict[str, tuple[str, str, list[JsonObject]]] = {
    "list": ("get", "list", _LIST),
    "create": ("post", "post", _WRITE),
    "deletecollection": ("delete", "deletecollection", [*_DELETE, *_LIST]),
    "get": ("get", "get", []),
    "update": ("put", "put", _WRITE),
    "patch": ("patch", "patch", [*_WRITE, _FORCE]),
    "delete": ("delete", "delete", _DELETE),
}
"""Verb -> HTTP method, x-kubernetes-action, query parameters."""
_ON_COLLECTION = ("list", "create", "deletecollection")
_ON_ITEM = ("get", "update", "patch", "delete")
_OPERATION_NAMES = {
    "list": "list",
    "create": "create",
    "deletecollection": "deleteCollection",
    "get": "read",
    "update": "replace",
    "patch": "patch",
    "delete": "delete",
}


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


def _operation(
    resource: Resource, gvk: JsonObject, verb: str, suffix: str, body: str | None
) -> JsonObject:
    _, action, parameters = _ACTIONS[verb]
    scope = "Namespaced" if resource.namespaced else ""
    group = (resource.group.split(".")[0] or "core").capitalize()
    name = _OPERATION_NAMES[verb]
    answer = body
    if verb == "list":
        answer = _key(resource, f"{resource.kind}List")
    elif verb in ("delete", "deletecollection"):
        answer = META + "Status"
    out: JsonObject = {
        "tags": [f"{resource.group.split('.')[0] or 'core'}_{resource.version}"],
        "operationId": (
            f"{name}{group}{resource.version.capitalize()}{scope}{resource.kind}{suffix}"
        ),
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": _content(answer, _JSON)},
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
        everywhere = _operation(resource, gvk, "list", "ForAllNamespaces", body)
        out[f"{resource.root}/{resource.plural}"] = {"get": everywhere, "parameters": [_PRETTY]}
    for sub in resource.subresources:
        out[f"{collection}/{{name}}/{sub.name}"] = _subresource(resource, sub, named)
    return out


def _subresource(resource: Resource, sub: Subresource, named: list[JsonObject]) -> JsonObject:
    group = sub.group if sub.version else resource.group
    version = sub.version or resource.version
    gvk = {"group": group, "kind": sub.kind, "version": version}
    body = key_of(group, version, sub.kind) if sub.version else _key(resource, sub.kind)
    suffix = sub.name.capitalize()
    out: JsonObject = {
        _ACTIONS[verb][0]: _operation(resource, gvk, verb, suffix, body) for verb in sub.verbs
    }
    return {**out, "parameters": named}
