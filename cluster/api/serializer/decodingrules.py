"""What both passes of decoding (`decoding`, `decodingreport`) hold of values: which are dropped,
and which may not be."""

import math
from collections.abc import Iterable
from typing import TypeAlias

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas.definitions import Definition, Field, FieldType
from kubeherd.cluster.api.schemas.gostructs import omitted_zeros, struct_of_definition

MAX_DEPTH = 200
"""Nesting allowed inside values without a schema (and in bodies, see `codecs`)."""

Dropped: TypeAlias = list[tuple[JsonObject, str, JsonValue]]
"""The empty lists and maps that a decoding has met: (what they were in, name, the empty)."""

CONTAINERS = (FieldType.LIST, FieldType.MAP)
ZERO: dict[FieldType, JsonValue] = {
    FieldType.STRING: "",
    FieldType.BOOL: False,
    FieldType.INT32: 0,
    FieldType.INT64: 0,
    FieldType.NUMBER: 0,
    FieldType.QUANTITY: "0",
    FieldType.INT_OR_STRING: 0,
    FieldType.BYTES: "",
}


def drops(definition: Definition, name: str, field: Field) -> bool:
    if field.required:
        return False
    if field.type in CONTAINERS:
        return True
    return field.type in ZERO and name in omitted_zeros(struct_of_definition(definition.key))


def raw_problem(value: JsonValue, left: int = MAX_DEPTH) -> str:
    """What is wrong with a value without a schema: too deep, or NaN (msgpack can write it)."""
    children: Iterable[JsonValue]
    if value.__class__ is dict:
        children = value.values()
    elif value.__class__ is list:
        children = value
    elif value.__class__ is float and not math.isfinite(value):
        return f"json: unsupported value: {value}"
    else:
        return ""
    if left == 0:
        return f"json: exceeded max depth of {MAX_DEPTH}"
    return next(filter(None, (raw_problem(child, left - 1) for child in children)), "")
