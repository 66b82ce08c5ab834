"""The OpenAPI version 2 document in protobuf, the only form in which kubectl reads it.

kubectl asks for it whenever a file holds a `List` (which has no path, so version 3 says nothing of
its fields) and shows an error if there is none. Field numbers are those of gnostic's
`OpenAPIv2.proto`; only the fields that our document has are written.
"""

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer.protobuf.wire import delimited

MEDIA_TYPES = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
"""What clients ask for; the second is also what the answer calls itself, as `@` is not allowed."""

_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DEFAULT, _REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = (
    5, 19, 20, 21, 22, 23, 25, 31,
)  # fmt: skip


def encode(document: JsonObject) -> bytes:
    """The document as a protobuf message; it has `swagger`, `info` and `definitions`."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    definitions = _named(1, {k: _schema(v) for k, v in document["definitions"].items()})
    return (
        _text(1, document["swagger"])
        + delimited(2, info)
        + delimited(8, b"")
        + delimited(9, definitions)
    )


def _schema(schema: JsonObject) -> bytes:
    parts = []
    for name, value in schema.items():
        if name in _TEXTS:
            parts.append(_text(_TEXTS[name], value))
        elif name == "type":
            parts.append(delimited(_TYPE, _text(1, value)))
        elif name == "items":
            parts.append(delimited(_ITEMS, delimited(1, _schema(value))))
        elif name == "properties":
            fields = _named(1, {k: _schema(v) for k, v in value.items()})
            parts.append(delimited(_PROPERTIES, fields))
        elif name == "additionalProperties":
            parts.append(delimited(_ADDITIONAL, delimited(1, _schema(value))))
        elif name == "required":
            parts.extend(_text(_REQUIRED, field) for field in value)
        elif name == "enum":
            parts.extend(delimited(_ENUM, _any(member)) for member in value)
        elif name == "default":
            parts.append(delimited(_DEFAULT, _any(value)))
        elif name.startswith("x-"):
            parts.append(_named(_EXTENSION, {name: _any(value)}))
        else:
            raise ValueError(f"no field number for {name!r} of an OpenAPI schema")
    return b"".join(parts)


def _any(value: JsonValue) -> bytes:
    """A value of any type travels as YAML text, of which JSON is a part."""
    return delimited(2, orjson.dumps(value))


def _named(number: int, values: dict[str, bytes]) -> bytes:
    """A map as the repeated messages (name, value) that stand for it."""
    return b"".join(
        delimited(number, _text(1, name) + delimited(2, value)) for name, value in values.items()
    )


def _text(number: int, value: str) -> bytes:
    return delimited(number, value.encode())
