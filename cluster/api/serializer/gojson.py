"""How Go reads and writes JSON, where clients can see it in texts.

Its words for JSON that does not parse: orjson names the same mistakes in words of its own; what
both agree on is the place. And the order of members: that of the struct, and sorted in maps.
"""

import json
from collections.abc import Iterator

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField

_END = ("Input is a zero-length", "input data is empty", "unexpected end of data")
_KEY = "looking for beginning of object key string"
_VALUE = "looking for beginning of value"
_CONTEXTS = (
    ("expected a JSON value", _VALUE),
    ("expected a string key", _KEY),
    ("expected ':' after key", "after object key"),
    ("unexpected content after document", "after top-level value"),
    ("expected ',' or '}'", "after object key:value pair"),
    ("expected ',' or ']'", "after array element"),
    ("unexpected control character in string", "in string literal"),
)


def syntax_error(body: bytes, message: str, position: int) -> str:
    """``invalid character 'x' looking for beginning of value``; what orjson says if Go has no
    such case. `position` counts characters."""
    if message.startswith(_END):
        return "unexpected end of JSON input"
    text = body.decode(errors="replace")
    if message.startswith("trailing comma"):
        rest = text[position + 1 :].lstrip()
        return _invalid(rest[:1], _KEY if rest.startswith("}") else _VALUE)
    if message.startswith("str is not valid UTF-8"):  # orjson looks at that before all else
        return _first_mistake(text)
    for said, context in _CONTEXTS:
        if said in message:
            return _invalid(text[position : position + 1], context)
    return message


def _first_mistake(text: str) -> str:
    """The syntax error of a text whose bytes are no UTF-8, which Go does not mind."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _invalid(text[error.pos : error.pos + 1], _VALUE)
    return "invalid UTF-8 in string literal"


def _invalid(char: str, context: str) -> str:
    if not char:
        return "unexpected end of JSON input"
    shown = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, char)
    if not char.isprintable() and shown == char:
        shown = f"\\x{ord(char):02x}"
    return f"invalid character '{shown}' {context}"


def in_struct_order(tree: JsonObject, struct: str) -> JsonObject:
    """`tree`, an object of a struct (``core.v1.Pod``), with its members as Go writes them: the kind
    of an object first, what the struct does not know last."""
    known = {
        field.name: _of_field(tree[field.name], field)
        for field in _flat(struct)
        if field.name in tree
    }
    ordered: JsonObject = {}
    for name in ("kind", "apiVersion"):
        if name in tree and name not in known:
            ordered[name] = tree[name]
    return {**ordered, **known, **{name: tree[name] for name in tree if name not in known}}


def _flat(struct: str) -> Iterator[GoField]:
    """The fields of a struct, those of embedded ones in their place."""
    for field in gostructs.fields(struct):
        if field.name:
            yield field
        else:
            yield from _flat(field.type)


def _of_field(value: JsonValue, field: GoField) -> JsonValue:
    if isinstance(value, list):
        return [_of_type(item, field.type) for item in value]
    if field.is_map and isinstance(value, dict):
        return {name: _of_type(value[name], field.type) for name in sorted(value)}
    return _of_type(value, field.type)


def _of_type(value: JsonValue, type_: str) -> JsonValue:
    if isinstance(value, dict) and gostructs.is_struct(type_) and not gostructs.items_of(type_):
        return in_struct_order(value, type_)
    return value
