"""JSON trees to the bytes that Kubernetes' generated code writes for the same struct.

Each struct is compiled once. As gogo/protobuf does: fields in the order of their numbers; scalars
and structs that are no pointers always, zero or not; pointers and bytes if they are set; lists and
maps item by item, maps in the order of their keys. Fields that the table lacks are left out.
"""

import base64
import struct as binary
from collections.abc import Callable
from functools import cache

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField
from kubeherd.cluster.api.serializer.protobuf import special
from kubeherd.cluster.api.serializer.protobuf.wire import WireType, delimited, tag, varint

_Write = Callable[[JsonValue], bytes]
_BYTES_ZEROS: dict[str, JsonValue] = {"string": "", "bool": False, "int32": 0, "int64": 0}


def message(struct: str, tree: JsonObject) -> bytes:
    """The message of a struct. TypeError, ValueError, AttributeError or RecursionError for a tree
    that is not of this struct's shape."""
    parts = []
    for name, absent, write in _compiled(struct):
        value = tree.get(name) if name else tree
        parts.append(absent if value is None else write(value))
    return b"".join(parts)


@cache
def _compiled(struct: str) -> tuple[tuple[str, bytes, _Write], ...]:
    """(JSON name, bytes if there is none, writer) of each field, in the order of the numbers."""
    fields = sorted((f for f in gostructs.fields(struct) if f.number), key=lambda f: f.number)
    return tuple((f.name, _absent(f), _writer(f)) for f in fields)


def _absent(field: GoField) -> bytes:
    """What Go writes for a field whose JSON is missing or null."""
    if field.pointer or field.repeated or field.is_map or field.type == "bytes":
        return b""
    if gostructs.items_of(field.type):
        return b""
    return _single(field)(_zero(field.type))


def _zero(type_: str) -> JsonValue:
    if type_ == "float64":
        return 0.0
    return _BYTES_ZEROS.get(type_, None if type_ in special.WRITERS else {})


def _writer(field: GoField) -> _Write:
    single = _single(field)
    if field.is_map:
        return _map_writer(field)
    if field.repeated:
        return lambda items: b"".join(map(single, items))
    return single


def _single(field: GoField) -> _Write:
    """One value with its tag."""
    content = _content(field.type)
    if field.type in ("bool", "int32", "int64"):
        key = tag(field.number, WireType.VARINT)
        return lambda value: key + varint(value)
    if field.type == "float64":
        key = tag(field.number, WireType.FIXED64)
        return lambda value: key + binary.pack("<d", value)
    key = tag(field.number, WireType.BYTES)

    def write(value: JsonValue) -> bytes:
        body = content(value)
        return key + varint(len(body)) + body

    return write


@cache
def _content(type_: str) -> _Write:
    """A value without tag and length; of types that have a length."""
    if type_ == "string":
        return str.encode
    if type_ == "bytes":
        return base64.b64decode
    if type_ in special.WRITERS:
        own = special.WRITERS[type_]
        return lambda value: own(value, message)
    items = gostructs.items_of(type_)
    if items:
        return lambda value: b"".join(delimited(1, _content(items)(item)) for item in value)
    return lambda value: message(type_, value or {})


def _map_writer(field: GoField) -> _Write:
    key, content = tag(field.number, WireType.BYTES), _content(field.type)

    def write(entries: JsonValue) -> bytes:
        parts: list[bytes] = []
        for name, value in sorted(entries.items()):
            entry = delimited(1, name.encode()) + delimited(2, content(value))
            parts += (key, varint(len(entry)), entry)
        return b"".join(parts)

    return write
