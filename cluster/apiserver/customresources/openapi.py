"""OpenAPI of custom resources: their schemas as clients of Kubernetes expect them.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi (builder, v2). Version 3 shows a
schema as it is in the definition; version 2 knows no nullable values, no choices between schemas,
and nothing inside of what keeps unknown fields: kubectl would refuse the fields that are not named.
What the fields of every object are is said as in Kubernetes' own definitions.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final, TypeAlias

import msgspec

from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    PRESERVE,
    Schema,
    properties,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.apiserver.edge.openapi.paths import META, custom_key

_Refer: TypeAlias = Callable[[str], JsonObject]
_Show: TypeAlias = Callable[[Schema], JsonObject]
_V3_REF: Final = "#/components/schemas/"
_V2_REF: Final = "#/definitions/"
_OBJECT: Final = "io.k8s.api.core.v1.ConfigMap"
_OBJECTS: Final = "io.k8s.api.core.v1.ConfigMapList"
"""Whose definitions say what the fields are that all objects and all lists have."""
_CONVENTIONS: Final = (
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
)
_IN_V2 = frozenset({
    "format", "title", "description", "pattern", "type", "items", "properties",
    "additionalProperties", "required", "enum", "default",
})  # fmt: skip


class _Version(msgspec.Struct, frozen=True):
    """What a version of OpenAPI makes of a schema and of a reference."""

    refer: _Refer
    show: _Show
    is_v2: bool


def components(resources: Iterable[Resource]) -> dict[str, JsonObject]:
    """The version 3 schemas of these resources and their lists, by name."""
    v3 = _Version(lambda key: {"allOf": [{"$ref": _V3_REF + key}]}, lambda schema: schema, False)
    return _all(resources, v3)


def definitions(resources: Iterable[Resource]) -> dict[str, JsonObject]:
    """The version 2 schemas of these resources and their lists, by name."""
    return _all(resources, _Version(lambda key: {"$ref": _V2_REF + key}, _v2, True))


def _all(resources: Iterable[Resource], version: _Version) -> dict[str, JsonObject]:
    out: dict[str, JsonObject] = {}
    for resource in resources:
        if resource.custom is not None:
            key = custom_key(resource, resource.kind)
            out[key] = _object(resource, resource.custom, version)
            out[f"{key}List"] = _list(resource, resource.custom, version)
    return out


@cache
def _described(name: str, of_list: bool = False) -> str:
    """What Kubernetes says of a field that all objects, or all lists, have."""
    raw = schemas.raw(_OBJECTS if of_list else _OBJECT)
    return str(raw["properties"][name].get("description", ""))


def _text(name: str) -> JsonObject:
    return {"description": _described(name), "type": "string"}


def _about_itself(version: _Version) -> dict[str, JsonObject]:
    """What every object has besides its own fields."""
    metadata = {"description": _described("metadata"), **version.refer(f"{META}ObjectMeta")}
    return {"apiVersion": _text("apiVersion"), "kind": _text("kind"), "metadata": metadata}


def _object(resource: Resource, custom: CustomKind, version: _Version) -> JsonObject:
    own: JsonObject = {"type": "object"}
    if custom.schema and not (version.is_v2 and custom.schema.get(PRESERVE)):
        own = _with_embedded(version.show(custom.schema), version)
        own["type"] = "object"
        own["properties"] = {**properties(own), **_about_itself(version)}
    return {**own, "x-kubernetes-group-version-kind": [_kind(resource, "")], **_selectable(custom)}


def _selectable(custom: CustomKind) -> JsonObject:
    fields = [{"fieldPath": path} for path in custom.selectable]
    return {"x-kubernetes-selectable-fields": fields} if fields else {}


def _with_embedded(schema: Schema, version: _Version) -> JsonObject:
    """The schema with what whole objects inside of it have besides their own fields."""
    out = dict(schema)
    if fields := properties(schema):
        out["properties"] = {name: _with_embedded(one, version) for name, one in fields.items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            out[name] = _with_embedded(schema[name], version)
    if schema.get(EMBEDDED) and not (version.is_v2 and schema.get(PRESERVE)):
        out["properties"] = {**properties(out), **_about_itself(version)}
        required = out.get("required") or []
        out["required"] = [*required, *(n for n in ("kind", "apiVersion") if n not in required)]
    return out


def _kind(resource: Resource, suffix: str) -> JsonObject:
    return {
        "group": resource.group,
        "version": resource.version,
        "kind": f"{resource.kind}{suffix}",
    }


def _list(resource: Resource, custom: CustomKind, version: _Version) -> JsonObject:
    item = version.refer(custom_key(resource, resource.kind))
    metadata = version.refer(f"{META}ListMeta")
    return {
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _text("apiVersion"),
            "items": {
                "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
                "type": "array",
                "items": item,
            },
            "kind": _text("kind"),
            "metadata": {"description": _described("metadata", of_list=True), **metadata},
        },
        "x-kubernetes-group-version-kind": [_kind(resource, "List")],
        **_selectable(custom),
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
    fields = properties(out)
    if fields:
        out["properties"] = {name: _v2(inner) for name, inner in fields.items()}
    if out.get("required"):  # kubectl would refuse a null there
        out["required"] = [n for n in out["required"] if not fields.get(n, {}).get("nullable")]
        if not out["required"]:
            del out["required"]
    return out


def _without(tree: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in tree.items() if name not in names}
