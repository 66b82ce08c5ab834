"""OpenAPI of custom resources: their schemas as clients of Kubernetes expect them.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi (builder, v2). Version 3 shows a
schema as it is in the definition; version 2 knows no nullable values, no choices between schemas,
and nothing inside of what keeps unknown fields.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from kubeherd.cluster.api.customresources.schema import (
    INT_OR_STRING,
    PRESERVE,
    Schema,
    properties,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.edge.openapi.paths import META, custom_key

_Refer: TypeAlias = Callable[[str], JsonObject]
_Show: TypeAlias = Callable[[Schema], JsonObject]
_V3_REF: Final = "#/components/schemas/"
_V2_REF: Final = "#/definitions/"
_TEXTS = {
    "apiVersion": "Version of the API that the object follows.",
    "kind": "Kind of the object.",
    "metadata": "Standard metadata of the object.",
    "items": "The objects of the list.",
}
_IN_V2 = frozenset({
    "format", "title", "description", "pattern", "type", "items", "properties",
    "additionalProperties", "required", "enum", "default",
})  # fmt: skip


def components(resources: Iterable[Resource]) -> dict[str, JsonObject]:
    """The version 3 schemas of these resources and their lists, by name."""
    return _all(resources, lambda key: {"allOf": [{"$ref": _V3_REF + key}]}, lambda field: field)


def definitions(resources: Iterable[Resource]) -> dict[str, JsonObject]:
    """The version 2 schemas of these resources and their lists, by name."""
    return _all(resources, lambda key: {"$ref": _V2_REF + key}, _v2)


def _all(resources: Iterable[Resource], refer: _Refer, show: _Show) -> dict[str, JsonObject]:
    out: dict[str, JsonObject] = {}
    for resource in resources:
        if resource.custom is not None:
            key = custom_key(resource, resource.kind)
            out[key] = _object(resource, resource.custom.schema, refer, show)
            out[f"{key}List"] = _list(resource, refer)
    return out


def _text(name: str, extra: JsonObject | None = None) -> JsonObject:
    return {"description": _TEXTS[name], **(extra if extra is not None else {"type": "string"})}


def _object(resource: Resource, schema: Schema, refer: _Refer, show: _Show) -> JsonObject:
    out = show(schema)
    fields = {name: show(inner) for name, inner in properties(schema).items()}
    return {
        **out,
        "type": "object",
        "properties": {
            **fields,
            "apiVersion": _text("apiVersion"),
            "kind": _text("kind"),
            "metadata": _text("metadata", refer(f"{META}ObjectMeta")),
        },
        "x-kubernetes-group-version-kind": [_kind(resource, "")],
    }


def _kind(resource: Resource, suffix: str) -> JsonObject:
    return {
        "group": resource.group,
        "version": resource.version,
        "kind": f"{resource.kind}{suffix}",
    }


def _list(resource: Resource, refer: _Refer) -> JsonObject:
    item = refer(custom_key(resource, resource.kind))
    return {
        "description": f"A list of {resource.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _text("apiVersion"),
            "items": _text("items", {"type": "array", "items": item}),
            "kind": _text("kind"),
            "metadata": _text("metadata", refer(f"{META}ListMeta")),
        },
        "x-kubernetes-group-version-kind": [_kind(resource, "List")],
    }


def _v2(schema: Schema) -> JsonObject:
    out = {name: value for name, value in schema.items() if name in _IN_V2 or name[:2] == "x-"}
    if schema.get("nullable"):
        out = _without(out, "type", "items", "properties")
    if schema.get(PRESERVE):
        out = _without(out, "items", "properties")
    if schema.get(INT_OR_STRING) or (schema.get(PRESERVE) and schema.get("type") == "object"):
        out = _without(out, "type")
    if "items" not in out and out.get("type") == "array":
        out = _without(out, "type")
    for name in ("items", "additionalProperties"):
        if isinstance(out.get(name), dict):
            out[name] = _v2(out[name])
        else:
            out.pop(name, None)
    if isinstance(out.get("properties"), dict):
        out["properties"] = {name: _v2(inner) for name, inner in out["properties"].items()}
    return out


def _without(tree: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in tree.items() if name not in names}
