"""Types whose JSON has another shape than their protobuf message.

Times, quantities, numbers that may be texts, raw JSON, and the schemas of custom resources that
may be something else. Source: the hand-written Marshal, Unmarshal and JSON methods of
k8s.io/apimachinery and k8s.io/apiextensions-apiserver v1.36.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer.protobuf.wire import (
    Expected,
    Malformed,
    Scanner,
    Wire,
    WireType,
    delimited,
    signed,
    tag,
    varint,
)
from kubeherd.cluster.api.timestamps import format_micro_time, format_time, parse_time

SCHEMA = "apis.apiextensions.v1.JSONSchemaProps"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_IS_TEXT = 1
_TAG1, _TAG2 = tag(1, WireType.VARINT), tag(2, WireType.VARINT)


class Messages(Protocol):
    """How the messages of ordinary structs are read."""

    scanner: Scanner

    def read(self, struct: str, data: bytes) -> JsonObject: ...


Read = Callable[[Messages, bytes], JsonValue]
WriteStruct = Callable[[str, JsonObject], bytes]
Write = Callable[[JsonValue, WriteStruct], bytes]
"""From the JSON value and the function that writes ordinary structs; None is Go's zero."""


def _parts(messages: Messages, name: str, expected: Expected, data: bytes) -> dict[int, Wire]:
    return dict(messages.scanner.fields(name, expected, data))


def _text(wire: Wire) -> str:
    assert isinstance(wire, bytes)  # noqa: S101 - the scanner has compared wire types
    return wire.decode(errors="replace")


def _raw_bytes(wire: Wire) -> bytes:
    assert isinstance(wire, bytes)  # noqa: S101 - the scanner has compared wire types
    return wire


def _number(wire: Wire, bits: int) -> int:
    assert isinstance(wire, int)  # noqa: S101 - the scanner has compared wire types
    return signed(wire, bits)


# --- times ---

_TIMESTAMP: Expected = {1: ("Seconds", WireType.VARINT), 2: ("Nanos", WireType.VARINT)}


def _moment(messages: Messages, data: bytes) -> datetime | None:
    if not data:
        return None
    parts = _parts(messages, "Timestamp", _TIMESTAMP, data)
    microseconds = _number(parts.get(2, 0), 32) // 1000
    try:
        moment = _EPOCH + timedelta(seconds=_number(parts.get(1, 0), 64), microseconds=microseconds)
    except OverflowError:
        raise Malformed("time out of range") from None
    return None if moment == _ZERO_TIME else moment


def _read_time(messages: Messages, data: bytes) -> JsonValue:
    moment = _moment(messages, data)
    return None if moment is None else format_time(moment)


def _read_micro_time(messages: Messages, data: bytes) -> JsonValue:
    moment = _moment(messages, data)
    return None if moment is None else format_micro_time(moment)


def _timestamp(seconds: int, nanos: int) -> bytes:
    return _TAG1 + varint(seconds) + _TAG2 + varint(nanos)


def _write_time(value: JsonValue, _: object) -> bytes:
    moment = parse_time(value) if value else _ZERO_TIME
    return b"" if moment == _ZERO_TIME else _timestamp((moment - _EPOCH) // timedelta(seconds=1), 0)


def _write_micro_time(value: JsonValue, _: object) -> bytes:
    moment = parse_time(value) if value else _ZERO_TIME
    if moment == _ZERO_TIME:
        return b""
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return _timestamp(seconds, moment.microsecond * 1000)


# --- quantities, and numbers that may be texts ---


def _read_quantity(messages: Messages, data: bytes) -> JsonValue:
    parts = _parts(messages, "Quantity", {1: ("String_", WireType.BYTES)}, data)
    return _text(parts[1]) if 1 in parts else "0"


def _write_quantity(value: JsonValue, _: object) -> bytes:
    return delimited(1, ("0" if value is None else str(value)).encode())


_INT_OR_STRING: Expected = {
    1: ("Type", WireType.VARINT),
    2: ("IntVal", WireType.VARINT),
    3: ("StrVal", WireType.BYTES),
}


def _read_int_or_string(messages: Messages, data: bytes) -> JsonValue:
    parts = _parts(messages, "IntOrString", _INT_OR_STRING, data)
    kind = _number(parts.get(1, 0), 64)
    if kind not in (0, _IS_TEXT):
        raise Malformed("impossible IntOrString.Type")
    return _text(parts.get(3, b"")) if kind == _IS_TEXT else _number(parts.get(2, 0), 32)


def _write_int_or_string(value: JsonValue, _: object) -> bytes:
    text = value if isinstance(value, str) else ""
    kind = _IS_TEXT if isinstance(value, str) else 0
    number = 0 if isinstance(value, str) else value or 0
    return _TAG1 + varint(kind) + _TAG2 + varint(number) + delimited(3, text.encode())


# --- raw JSON ---


def _read_json(messages: Messages, data: bytes) -> JsonValue:
    raw = _raw_bytes(
        _parts(messages, "RawExtension", {1: ("Raw", WireType.BYTES)}, data).get(1, b"")
    )
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"json: {error}") from None


def _write_json(value: JsonValue, _: object) -> bytes:
    return b"" if value is None else delimited(1, orjson.dumps(value))


# --- schemas that may be something else ---

_OR_LIST: Expected = {1: ("Schema", WireType.BYTES), 2: ("JSONSchemas", WireType.BYTES)}
_OR_BOOL: Expected = {1: ("Allows", WireType.VARINT), 2: ("Schema", WireType.BYTES)}
_OR_TEXTS: Expected = {1: ("Schema", WireType.BYTES), 2: ("Property", WireType.BYTES)}


def _read_schema_or_list(messages: Messages, data: bytes) -> JsonValue:
    return _either(messages, "JSONSchemaPropsOrArray", _OR_LIST, data,
                   lambda item: messages.read(SCHEMA, item))  # fmt: skip


def _read_schema_or_texts(messages: Messages, data: bytes) -> JsonValue:
    return _either(messages, "JSONSchemaPropsOrStringArray", _OR_TEXTS, data, _text)


def _either(
    messages: Messages,
    name: str,
    expected: Expected,
    data: bytes,
    read_item: Callable[[bytes], JsonValue],
) -> JsonValue:
    schema: JsonValue = None
    items: list[JsonValue] = []
    for number, wire in messages.scanner.fields(name, expected, data):
        if number == 1:
            schema = messages.read(SCHEMA, _raw_bytes(wire))
        else:
            items.append(read_item(_raw_bytes(wire)))
    return items or schema


def _read_schema_or_bool(messages: Messages, data: bytes) -> JsonValue:
    parts = _parts(messages, "JSONSchemaPropsOrBool", _OR_BOOL, data)
    if 2 in parts:
        return messages.read(SCHEMA, _raw_bytes(parts[2]))
    return bool(parts.get(1, 0))


def _write_schema_or_list(value: JsonValue, write: WriteStruct) -> bytes:
    if isinstance(value, list):
        return b"".join(delimited(2, write(SCHEMA, item)) for item in value)
    return delimited(1, write(SCHEMA, value)) if value is not None else b""


def _write_schema_or_texts(value: JsonValue, write: WriteStruct) -> bytes:
    if isinstance(value, list):
        return b"".join(delimited(2, text.encode()) for text in value)
    return delimited(1, write(SCHEMA, value)) if value is not None else b""


def _write_schema_or_bool(value: JsonValue, write: WriteStruct) -> bytes:
    if isinstance(value, bool):
        return _TAG1 + varint(value)
    return _TAG1 + varint(1) + delimited(2, write(SCHEMA, value))


_EXTENSIONS = "apis.apiextensions.v1."

READERS: Mapping[str, Read] = {
    "apis.meta.v1.Time": _read_time,
    "apis.meta.v1.MicroTime": _read_micro_time,
    "apis.meta.v1.FieldsV1": _read_json,
    "api.resource.Quantity": _read_quantity,
    "util.intstr.IntOrString": _read_int_or_string,
    "runtime.RawExtension": _read_json,
    _EXTENSIONS + "JSON": _read_json,
    _EXTENSIONS + "JSONSchemaPropsOrArray": _read_schema_or_list,
    _EXTENSIONS + "JSONSchemaPropsOrBool": _read_schema_or_bool,
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": _read_schema_or_texts,
}
WRITERS: Mapping[str, Write] = {
    "apis.meta.v1.Time": _write_time,
    "apis.meta.v1.MicroTime": _write_micro_time,
    "apis.meta.v1.FieldsV1": _write_json,
    "api.resource.Quantity": _write_quantity,
    "util.intstr.IntOrString": _write_int_or_string,
    "runtime.RawExtension": _write_json,
    _EXTENSIONS + "JSON": _write_json,
    _EXTENSIONS + "JSONSchemaPropsOrArray": _write_schema_or_list,
    _EXTENSIONS + "JSONSchemaPropsOrBool": _write_schema_or_bool,
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": _write_schema_or_texts,
}
