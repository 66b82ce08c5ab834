"""OpenAPI version 3 documents in protobuf, which kubectl asks for to see what a server validates.

Field numbers are those of gnostic's `OpenAPIv3.proto`, of the parts that our documents have; other
fields are left out. Shapes are written as ``text``, ``flag``, ``number``, ``integer``, ``any``, a
message, ``[x]`` for a repeated field, ``x?`` for a message that holds x or a reference, ``{x}`` for
a message of named x, ``<x>`` for a message around one x or a flag.
"""

import struct
from collections.abc import Callable, Mapping

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer.protobuf.wire import WireType, delimited, tag, varint

MEDIA_TYPES = (
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
)
"""What clients ask for; the second is also what the answer calls itself."""

_OPERATION = "Operation"
_SHAPES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Document": {
        "openapi": (1, "text"), "info": (2, "Info"), "paths": (4, "{PathItem}"),
        "components": (5, "Components"),
    },
    "Info": {"title": (1, "text"), "version": (6, "text")},
    "Components": {"schemas": (1, "{Schema?}")},
    "PathItem": {
        "get": (4, _OPERATION), "put": (5, _OPERATION), "post": (6, _OPERATION),
        "delete": (7, _OPERATION), "patch": (10, _OPERATION), "parameters": (13, "[Parameter?]"),
    },
    _OPERATION: {
        "tags": (1, "[text]"), "operationId": (5, "text"), "parameters": (6, "[Parameter?]"),
        "requestBody": (7, "RequestBody?"), "responses": (8, "Responses"), "x-": (13, "any"),
    },
    "Parameter": {
        "name": (1, "text"), "in": (2, "text"), "description": (3, "text"),
        "required": (4, "flag"), "schema": (10, "Schema?"),
    },
    "RequestBody": {"content": (2, "{MediaType}"), "required": (3, "flag")},
    "Response": {"description": (1, "text"), "content": (3, "{MediaType}")},
    "MediaType": {"schema": (1, "Schema?")},
    "Schema": {
        "nullable": (1, "flag"), "example": (7, "any"), "title": (9, "text"),
        "multipleOf": (10, "number"), "maximum": (11, "number"), "exclusiveMaximum": (12, "flag"),
        "minimum": (13, "number"), "exclusiveMinimum": (14, "flag"), "maxLength": (15, "integer"),
        "minLength": (16, "integer"), "pattern": (17, "text"), "maxItems": (18, "integer"),
        "minItems": (19, "integer"), "uniqueItems": (20, "flag"),
        "maxProperties": (21, "integer"), "minProperties": (22, "integer"),
        "required": (23, "[text]"), "enum": (24, "[any]"),
        "type": (25, "text"), "allOf": (26, "[Schema?]"), "oneOf": (27, "[Schema?]"),
        "anyOf": (28, "[Schema?]"), "not": (29, "Schema"),
        "items": (30, "<Schema?>"), "properties": (31, "{Schema?}"),
        "additionalProperties": (32, "<Schema?>"), "default": (33, "default"),
        "description": (34, "text"), "format": (35, "text"), "x-": (36, "any"),
    },
    "Reference": {"$ref": (1, "text")},
}  # fmt: skip
_NAMED_RESPONSES = 2
"""Where a Responses message has its named ones; all other messages have named things in 1."""
_SCALARS: Mapping[str, tuple[WireType, Callable[[JsonValue], bytes]]] = {
    "flag": (WireType.VARINT, varint),
    "integer": (WireType.VARINT, varint),
    "number": (WireType.FIXED64, struct.Struct("<d").pack),
}


def encode(document: JsonObject) -> bytes:
    """The document as a protobuf message."""
    return _content("Document", document)


def _content(shape: str, value: JsonValue) -> bytes:
    """A value that has a length, without it."""
    if shape == "text":
        return str(value).encode()
    if shape == "any":
        return delimited(2, orjson.dumps(value))  # as YAML, of which JSON is a part
    if shape == "default":
        return _default(value)
    if shape == "Responses":
        return _named(_NAMED_RESPONSES, "Response?", value)
    if shape.endswith("?"):
        if "$ref" in value:
            return delimited(2, _content("Reference", value))
        return delimited(1, _content(shape[:-1], value))
    if shape.startswith("{"):
        return _named(1, shape[1:-1], value)
    if shape.startswith("<"):
        if isinstance(value, bool):
            return tag(2, WireType.VARINT) + varint(value)
        return delimited(1, _content(shape[1:-1], value))
    return _message(_SHAPES[shape], value)


def _message(fields: Mapping[str, tuple[int, str]], tree: JsonObject) -> bytes:
    parts = []
    for name, value in tree.items():
        number, shape = fields.get("x-" if name.startswith("x-") else name, (0, ""))
        if not number:
            continue
        if name.startswith("x-"):
            parts.append((number, _named_one(number, name, _content(shape, value))))
        elif shape in _SCALARS:
            wire_type, write = _SCALARS[shape]
            parts.append((number, tag(number, wire_type) + write(value)))
        elif shape.startswith("["):
            inner = shape[1:-1]
            items = b"".join(delimited(number, _content(inner, item)) for item in value)
            parts.append((number, items))
        else:
            parts.append((number, delimited(number, _content(shape, value))))
    return b"".join(part for _, part in sorted(parts, key=lambda part: part[0]))


def _default(value: JsonValue) -> bytes:
    """A DefaultType: only scalars have a form in it."""
    if isinstance(value, bool):
        return tag(2, WireType.VARINT) + varint(value)
    if isinstance(value, int | float):
        return tag(1, WireType.FIXED64) + struct.pack("<d", value)
    return delimited(3, value.encode()) if isinstance(value, str) else b""


def _named(number: int, shape: str, values: JsonObject) -> bytes:
    return b"".join(
        _named_one(number, name, _content(shape, value)) for name, value in values.items()
    )


def _named_one(number: int, name: str, content: bytes) -> bytes:
    return delimited(number, delimited(1, name.encode()) + delimited(2, content))
