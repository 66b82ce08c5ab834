"""Structural schemas, as the JSON trees that CustomResourceDefinitions hold (JSONSchemaProps).

A schema is data and stays data: these are the questions that pruning, defaulting, validation and
ownership all ask of one (k8s.io/apiextensions-apiserver/pkg/apiserver/schema: Structural).
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

Schema: TypeAlias = JsonObject

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"
RULES: Final = "x-kubernetes-validations"

TYPE_META: Final = frozenset({"apiVersion", "kind", "metadata"})
"""The fields of every object, at the root and in an embedded resource."""


def properties(schema: Schema | None) -> dict[str, Schema]:
    """The declared fields of an object schema."""
    found = schema.get("properties") if schema else None
    return found if isinstance(found, dict) else {}


def items(schema: Schema | None) -> Schema | None:
    """The schema of a list's elements."""
    found = schema.get("items") if schema else None
    return found if isinstance(found, dict) else None


def has_additional(schema: Schema) -> bool:
    """Whether fields that are not declared are values of a map."""
    return schema.get("additionalProperties") is not None


def additional(schema: Schema | None) -> Schema | None:
    """The schema of a map's values; None where they have none."""
    found = schema.get("additionalProperties") if schema else None
    return found if isinstance(found, dict) else None


def of_field(schema: Schema | None, name: str) -> Schema | None:
    """The schema of a member: of the declared field, else of the map's values."""
    found = properties(schema).get(name)
    return found if found is not None else additional(schema)


def rooted(schema: Schema | None) -> Schema:
    """A schema read as that of a whole object, whose apiVersion, kind and metadata are implied."""
    return {**(schema or {}), EMBEDDED: True}


def list_key(schema: Schema, item: JsonValue) -> str | None:
    """What identifies an element of a list map; None if it has no keys."""
    if not isinstance(item, dict):
        return None
    return repr([item.get(key) for key in schema.get(LIST_KEYS) or ()])


def nested(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every schema inside one, with the path to it as upstream writes it (``.properties[x]``)."""
    for name in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(name) or ()):
            yield f".{name}[{index}]", inner
    for name in ("not", "items", "additionalProperties"):
        inner = schema.get(name)
        if isinstance(inner, dict):
            yield f".{name}", inner
    for name, inner in properties(schema).items():
        yield f".properties[{name}]", inner


def walk(schema: Schema) -> Iterator[Schema]:
    """A schema and every schema inside it."""
    yield schema
    for _, inner in nested(schema):
        yield from walk(inner)
