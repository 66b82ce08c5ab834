"""OpenAPI schemas from the definitions that the server validates with.

The definitions allow null everywhere and pin apiVersion and kind; clients of Kubernetes expect
neither, so both are taken back. Version 3 wraps references in ``allOf``, which is how a field can
have a description beside a reference.
"""

from collections.abc import Callable, Iterable

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas import zeros
from kubeherd.cluster.apiserver.edge.openapi.enums import FIELD_ENUMS

_REF = "#/$defs/"
_V2_REF = "#/definitions/"
_V3_REF = "#/components/schemas/"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_DESCRIPTIONS = {
    _INT_OR_STRING: (
        "IntOrString is a type that can hold an int32 or a string.  When used in JSON or YAML"
        " marshalling and unmarshalling, it produces or consumes the inner type.  This allows you"
        " to have, for example, a JSON field that can accept a name or number."
    ),
    _QUANTITY: (
        "Quantity is a fixed-point representation of a number. It is written as a decimal number"
        " with an optional suffix, for example 100m, 1.5, 200Mi or 2Gi."
    ),
}
_Convert = Callable[[JsonObject, bool], JsonObject]
_SCALAR_REFERENCES = frozenset({_INT_OR_STRING, _QUANTITY})


def closure(keys: Iterable[str]) -> list[str]:
    """The keys together with those of every definition that they refer to, sorted."""
    known = schemas.keys()
    seen: set[str] = set()
    pending = [key for key in keys if key in known]
    while pending:
        key = pending.pop()
        if key not in seen:
            seen.add(key)
            pending.extend(_references(schemas.raw(key)))
    return sorted(seen)


def _references(schema: JsonValue) -> list[str]:
    if isinstance(schema, list):
        return [key for item in schema for key in _references(item)]
    if not isinstance(schema, dict):
        return []
    found = [key for value in schema.values() for key in _references(value)]
    reference = schema.get("$ref")
    if isinstance(reference, str):
        found.append(reference.removeprefix(_REF))
    return found


def reference(key: str) -> JsonObject:
    """A reference to a definition, as version 3 writes it."""
    return {"$ref": _V3_REF + key}


def v3(key: str) -> JsonObject:
    """The version 3 schema of a definition."""
    return _definition(key, _v3_field, [{"type": "integer"}, {"type": "string"}])


def v2(key: str) -> JsonObject:
    """The version 2 (Swagger) schema of a definition."""
    return _definition(key, _v2_field, None)


def _definition(key: str, field: _Convert, one_of: list[JsonObject] | None) -> JsonObject:
    if key in _SCALAR_REFERENCES:
        return _scalar_definition(key, one_of)
    raw = schemas.raw(key)
    out = {name: value for name, value in raw.items() if name not in ("properties", "type")}
    if "type" in raw:
        out["type"] = _plain_type(raw["type"])
    properties = raw.get("properties")
    if isinstance(properties, dict):
        enums = FIELD_ENUMS.get(key, {})
        printed = zeros.printed(key)
        out["properties"] = {
            name: _with_enum(field(property_, printed.get(name) == {}), name, enums.get(name, ()))
            for name, property_ in properties.items()
        }
    return out


def _scalar_definition(key: str, one_of: list[JsonObject] | None) -> JsonObject:
    out: JsonObject = {"description": _DESCRIPTIONS[key]}
    if key == _INT_OR_STRING:
        out["format"] = "int-or-string"
    if one_of is None:
        out["type"] = "string"
    elif key == _INT_OR_STRING:
        out["oneOf"] = one_of
    else:
        out["oneOf"] = [{"type": "string"}, {"type": "number"}]
    return out


def _with_enum(schema: JsonObject, name: str, values: tuple[str, ...]) -> JsonObject:
    if name in ("apiVersion", "kind"):
        schema.pop("enum", None)
    if values:
        schema["enum"] = list(values)
    return schema


def _plain_type(declared: JsonValue) -> JsonValue:
    if isinstance(declared, list):
        return next(name for name in declared if name != "null")
    return declared


def _field(schema: JsonObject, convert: _Convert) -> JsonObject:
    out: JsonObject = {}
    for name, value in schema.items():
        if name == "type":
            out[name] = _plain_type(value)
        elif name in ("items", "additionalProperties") and isinstance(value, dict):
            out[name] = convert(value, "$ref" in value)
        else:
            out[name] = value
    return out


def _v3_field(schema: JsonObject, embedded: bool) -> JsonObject:
    key = schema.get("$ref")
    if key is None:
        return _field(schema, _v3_field)
    out = {name: value for name, value in schema.items() if name != "$ref"}
    key = key.removeprefix(_REF)
    if embedded and key not in _SCALAR_REFERENCES:
        out["default"] = {}
    out["allOf"] = [reference(key)]
    return out


def _v2_field(schema: JsonObject, embedded: bool) -> JsonObject:
    key = schema.get("$ref")
    if key is None:
        return _field(schema, _v2_field)
    out = {name: value for name, value in schema.items() if name != "$ref"}
    return {**out, "$ref": _V2_REF + key.removeprefix(_REF)}
