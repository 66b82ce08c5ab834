"""Validation of the schema of a CustomResourceDefinition.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation
(ValidateCustomResourceDefinitionOpenAPISchema) and pkg/apiserver/schema/defaulting.
"""

import copy
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.customresources import (
    defaulting,
    listtypes,
    pruning,
    structuralrules,
    validation,
)
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    TYPE_META,
    Schema,
    items,
    nested,
    properties,
    walk,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import forbidden, invalid, not_supported, required

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = (
    "id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref",
)  # fmt: skip
_AT_ROOT = frozenset({
    "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum",
    "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems",
    "multipleOf", "required", "items", "properties", "externalDocs", "example", PRESERVE, RULES,
})  # fmt: skip
"""What the root may say where there is a status subresource, whose schema is taken out of it."""
_AT_ROOT_SHOWN = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength "
    "MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties "
    "ExternalDocs Example XPreserveUnknownFields XValidations"
)


class _Where(msgspec.Struct, frozen=True):
    """What holds for a schema because of those around it."""

    no_default: str = ""
    """Why there may be no default; "" if there may."""
    in_meta: bool = False


def schema_of(version: JsonObject) -> Schema:
    """The schema of a version; {} if it has none."""
    return (version.get("schema") or {}).get("openAPIV3Schema") or {}


def check(schema: Schema, path: str, *, status: bool, known: bool) -> list[Cause]:
    """The causes for which a schema is refused.

    `status`: the version has a status subresource. `known`: the definition had this very schema
    before, so its rules are not held against it.
    """
    causes = list(_root(schema, path)) if status else []
    if schema.get("nullable"):
        causes.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    structural = structuralrules.check(schema, path)
    structural = structural or list(_defaults(schema, path, root=True))
    causes += structural
    causes += _walk(schema, path, _Where(), root=True)
    if not causes and not known and any(RULES in inner for inner in walk(schema)):
        causes += _rules(schema, path)
    return causes


def _rules(schema: Schema, path: str) -> list[Cause]:
    """The causes for which the CEL rules are refused."""
    from kubeherd.cluster.api.cel.schemas import rules  # noqa: PLC0415 - seldom needed

    return rules.check(schema, path)


def _root(schema: Schema, path: str) -> Iterator[Cause]:
    if schema.get("type") and schema["type"] != "object":
        detail = (
            'only "object" is allowed as the type at the root of the schema if the status '
            "subresource is enabled"
        )
        yield invalid(f"{path}.type", schema["type"], detail)
    elif set(schema) - _AT_ROOT:
        detail = (
            f"only [{_AT_ROOT_SHOWN}] fields are allowed at the root of the schema if the status "
            "subresource is enabled"
        )
        yield invalid(path, schema, detail)


def _walk(schema: Schema, path: str, where: _Where, *, root: bool = False) -> Iterator[Cause]:
    yield from _keywords(schema, path, where)
    if schema.get("additionalProperties") not in (None, True) and properties(schema):
        detail = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", detail)
    for step, inner in nested(schema):
        yield from _walk(inner, path + step, _below(schema, step, where, root=root))
    yield from _list_type(schema, path)


def _below(schema: Schema, step: str, where: _Where, *, root: bool) -> _Where:
    name = step.removeprefix(".properties[").removesuffix("]") if "properties[" in step else ""
    if step == ".additionalProperties" and where.in_meta:
        return replace(where, no_default="inside additionalProperties applying to object metadata")
    if name in TYPE_META and (root or schema.get(EMBEDDED)):
        reason = f"in top-level {name}" if root else where.no_default
        return _Where(reason, in_meta=True)
    return where


def _keywords(schema: Schema, path: str, where: _Where) -> Iterator[Cause]:
    declared = schema.get("type") or ""
    if declared and declared not in _TYPES:
        yield not_supported(f"{path}.type", declared, _TYPES)
    if schema.get("default") is not None and where.no_default:
        yield forbidden(f"{path}.default", f"must not be set {where.no_default}")
    for name in _UNSUPPORTED:
        if schema.get(name):
            yield forbidden(f"{path}.{name}", f"{name} is not supported")
    if declared == "null":
        detail = "type cannot be set to null, use nullable as an alternative"
        yield forbidden(f"{path}.type", detail)
    if isinstance(schema.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if where.in_meta and schema.get(EMBEDDED):
        yield forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", detail)
    if schema.get(PRESERVE) is False:
        yield invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")


# --- list and map types ---


def _of_type(schema: Schema, name: str, wanted: str, path: str) -> Iterator[Cause]:
    if schema.get(name) is None or schema.get("type") == wanted:
        return
    detail = f"must be {wanted} if {name} is specified"
    declared = schema.get("type")
    yield (
        invalid(f"{path}.type", declared, detail) if declared else required(f"{path}.type", detail)
    )


def _list_type(schema: Schema, path: str) -> Iterator[Cause]:
    yield from _of_type(schema, MAP_TYPE, "object", path)
    map_type, list_type = schema.get(MAP_TYPE), schema.get(LIST_TYPE)
    if map_type not in (None, "atomic", "granular"):
        yield not_supported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular"))
    yield from _of_type(schema, LIST_TYPE, "array", path)
    inner = items(schema)
    if schema.get("type") == "array" and list_type == "set" and inner is not None:
        yield from _set_items(inner, path)
    if list_type not in (None, "atomic", "set", "map"):
        yield not_supported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "set", "map"))
    keys = schema.get(LIST_KEYS) or []
    if keys and list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = f"{path}.{LIST_TYPE}"
        yield required(at, detail) if list_type is None else invalid(at, list_type, detail)
    if list_type == "map":
        yield from _map_items(inner, keys, path)
    if list_type in ("set", "map") and inner is not None:
        if inner.get("nullable"):
            detail = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
            yield forbidden(f"{path}.items.nullable", detail)
        if list_type == "map":
            yield from _key_fields(inner, keys, path)


def _set_items(inner: Schema, path: str) -> Iterator[Cause]:
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if inner.get("type") == "array" and inner.get(LIST_TYPE) not in (None, "atomic"):
        yield invalid(f"{path}.items.{LIST_TYPE}", inner[LIST_TYPE], detail)
    if inner.get("type") == "object" and inner.get(MAP_TYPE) != "atomic":
        yield invalid(f"{path}.items.{MAP_TYPE}", inner.get(LIST_TYPE), detail)


def _map_items(inner: Schema | None, keys: list[str], path: str) -> Iterator[Cause]:
    at = f"{path}.{LIST_KEYS}"
    if not keys:
        yield required(at, "must not be empty if x-kubernetes-list-type is map")
    if inner is None:
        detail = "must have a schema if x-kubernetes-list-type is map"
        yield required(f"{path}.items", detail)
        return
    if inner.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", inner.get("type", ""), detail)
        return
    declared = properties(inner)
    for index, key in enumerate(keys):
        if key not in declared:
            yield invalid(at, keys, "entries must all be names of item properties")
        elif declared[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", "object", detail)
        if key in keys[:index]:
            yield invalid(at, keys, "must not contain duplicate entries")


def _key_fields(inner: Schema, keys: list[str], path: str) -> Iterator[Cause]:
    wanted = set(inner.get("required") or ())
    for key in keys:
        field = properties(inner).get(key)
        if field is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in wanted and field.get("default") is None:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property"
            )
            yield required(f"{at}.default", detail)
        if field.get("nullable"):
            detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden(f"{at}.nullable", detail)


# --- defaults ---


def _defaults(schema: Schema, path: str, *, root: bool = False) -> Iterator[Cause]:
    """Every default must be an object that its own schema would take as it is."""
    value = schema.get("default")
    if value is not None and not root:
        whole = copy.deepcopy(value)
        dropped = pruning.prune_value(whole, schema)
        defaulting.default(whole, schema)
        if dropped:
            yield invalid(f"{path}.default", value, "must not have unknown fields")
        for cause in [*validation.validate(whole, schema), *listtypes.check(whole, schema)]:
            at = f"{path}.default"
            inner = "" if cause.field == "<nil>" else f".{cause.field}"
            yield Cause(cause.reason, cause.message, at + inner)
    for step, inner_schema in nested(schema):
        if step.startswith((".properties", ".items", ".additionalProperties")):
            yield from _defaults(inner_schema, path + step)
