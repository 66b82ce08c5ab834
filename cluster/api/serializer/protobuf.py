"""Read the request bodies that kubectl's typed commands send as Kubernetes protobuf.

`protobuf.json` holds the field numbers of those kinds: message -> field number -> [JSON name,
repeated, type]. A body is the magic ``k8s\\0`` and an ``Unknown`` message that wraps the object.
Only reading is supported; answers go out as JSON. Every malformed body is a BadRequest, every kind
without field numbers an UnsupportedMediaType that names the way out.
"""

import base64
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

import orjson

from kubeherd.cluster.api.bounds import MAX_VALUES, TooManyValues
from kubeherd.cluster.api.errors import BadRequest, UnsupportedMediaType
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.timestamps import format_micro_time, format_time

MAGIC = b"k8s\x00"

_Schema = dict[int, tuple[str, bool, str]]

_META = "apis.meta.v1."
_GROUPS = {
    "core": "",
    "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io",
    "coordination": "coordination.k8s.io",
    "policy": "policy",
    "rbac": "rbac.authorization.k8s.io",
    "scheduling": "scheduling.k8s.io",
}
_POINTERS = frozenset(
    {
        "automountServiceAccountToken", "blockOwnerDeletion", "controller", "expirationSeconds",
        "deletionGracePeriodSeconds", "gracePeriodSeconds", "immutable", "leaseDurationSeconds",
        "leaseTransitions", "orphanDependents", "value",
    }
)  # fmt: skip
"""Fields whose explicit zero is a value. Other zeros are what Go writes for "not set"."""


class _Malformed(Exception):
    """The bytes are no protobuf message of the expected shape."""


_values_left: ContextVar[list[int]] = ContextVar("values_left")
"""How many values the body that is being read may still have."""

_MALFORMED = (
    _Malformed, UnicodeDecodeError, OverflowError, RecursionError, orjson.JSONDecodeError,
)  # fmt: skip


@cache
def _messages() -> dict[str, _Schema]:
    loaded = orjson.loads(files(__package__).joinpath("protobuf.json").read_bytes())
    return {
        name: {int(number): (json_name, repeated, type_) for number, (json_name, repeated, type_)
               in fields.items()}
        for name, fields in loaded.items()
    }  # fmt: skip


@cache
def _by_kind() -> dict[tuple[str, str], str]:
    """The messages whose bodies are understood, by apiVersion and kind."""
    found: dict[tuple[str, str], str] = {}
    for name, fields in _messages().items():
        package, _, rest = name.partition(".")
        version, _, message = rest.partition(".")
        group = _GROUPS.get(package)
        if group is not None and fields.get(1, ("",))[0] == "metadata":
            found[f"{group}/{version}" if group else version, message] = name
    return found


def _message_of(api_version: str, kind: str) -> str | None:
    """The message of a kind whose bodies are understood."""
    if kind == "DeleteOptions":
        return _META + "DeleteOptions"
    return _by_kind().get((api_version, kind))


def decode(body: bytes) -> JsonObject:
    """The JSON tree of a Kubernetes protobuf body.

    BadRequest if it is malformed, UnsupportedMediaType if its kind has no field numbers here,
    RequestEntityTooLarge if it has too many values.
    """
    if body[: len(MAGIC)] != MAGIC:
        raise BadRequest(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    _values_left.set([MAX_VALUES])
    try:
        unknown = _decode_message("runtime.Unknown", body[len(MAGIC) :])
        type_meta = unknown.get("typeMeta") or {}
        api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
        message = _message_of(api_version, kind)
        if message is None:
            raise UnsupportedMediaType(
                f"protobuf bodies of {kind or 'no kind'} ({api_version or 'no version'}) are not "
                "supported here: send application/json instead of "
                "application/vnd.kubernetes.protobuf (kubectl create: add --dry-run=client -o yaml "
                "| kubectl create -f -)"
            )
        raw = base64.b64decode(unknown.get("raw", ""))
        return {"apiVersion": api_version, "kind": kind, **_decode_message(message, raw)}
    except TooManyValues as error:
        raise error.refusal() from None
    except _MALFORMED as error:
        raise BadRequest(f"unable to decode the protobuf body: {error}") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at a position and the position behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed("truncated or overlong number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7


def _wire_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, number or bytes) of every field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire_type = tag & 7
        if wire_type == 0:
            number, at = _varint(data, at)
            yield tag >> 3, number
            continue
        if wire_type == 2:
            length, at = _varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise _Malformed(f"unknown wire type {wire_type}")
        if length > len(data) - at:
            raise _Malformed("unexpected end of data")
        yield tag >> 3, data[at : at + length]
        at += length


def _decode_message(message: str, data: bytes) -> JsonObject:
    schema = _messages()[message]
    tree: JsonObject = {}
    left = _values_left.get()
    for number, wire in _wire_fields(data):
        left[0] -= 1
        if left[0] < 0:
            raise TooManyValues
        if number not in schema:
            continue
        name, repeated, type_ = schema[number]
        if type_.startswith("map:"):
            key, value = _map_entry(wire, type_.removeprefix("map:"))
            tree.setdefault(name, {})[key] = value
            continue
        value = _value(wire, type_)
        if repeated:
            tree.setdefault(name, []).append(value)
        elif value is None or (value in ("", 0, False) and _means_absent(name, type_)):
            continue
        else:
            tree[name] = value
    return tree


def _means_absent(name: str, type_: str) -> bool:
    return type_ != "util.intstr.IntOrString" and name not in _POINTERS


def _map_entry(wire: int | bytes, type_: str) -> tuple[str, JsonValue]:
    key, value = "", _zero(type_)
    for number, part in _wire_fields(_bytes(wire)):
        if number == 1:
            key = _bytes(part).decode()
        elif number == 2:
            value = _value(part, type_)
    return key, value


def _zero(type_: str) -> JsonValue:
    """The value of a map entry that does not write it."""
    return _value(0 if type_ in ("bool", "int32", "int64") else b"", type_)


def _bytes(wire: int | bytes) -> bytes:
    if isinstance(wire, int):
        raise _Malformed("a number where bytes are expected")
    return wire


def _signed(wire: int | bytes) -> int:
    if not isinstance(wire, int):
        raise _Malformed("bytes where a number is expected")
    return wire - 2**64 if wire >= 2**63 else wire


def _value(wire: int | bytes, type_: str) -> JsonValue:
    read = _READERS.get(type_)
    return read(wire) if read is not None else _decode_message(type_, _bytes(wire))


def _moment(wire: int | bytes) -> datetime | None:
    data = _bytes(wire)
    if not data:
        return None
    numbers = {number: _signed(part) for number, part in _wire_fields(data)}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = numbers.get(2, 0) // 1000
    return epoch + timedelta(seconds=numbers.get(1, 0), microseconds=microseconds)


def _time(wire: int | bytes) -> str | None:
    moment = _moment(wire)
    return None if moment is None else format_time(moment)


def _micro_time(wire: int | bytes) -> str | None:
    moment = _moment(wire)
    return None if moment is None else format_micro_time(moment)


def _int_or_string(wire: int | bytes) -> int | str:
    parts = dict(_wire_fields(_bytes(wire)))
    if parts.get(1, 0) == 1:
        return _bytes(parts.get(3, b"")).decode()
    return _signed(parts.get(2, 0))


def _wrapped(wire: int | bytes) -> bytes:
    """The single bytes field of a wrapper message such as Quantity."""
    return _bytes(dict(_wire_fields(_bytes(wire))).get(1, b""))


def _extra_value(wire: int | bytes) -> list[str]:
    return [_bytes(part).decode() for number, part in _wire_fields(_bytes(wire)) if number == 1]


_READERS: dict[str, Callable[[int | bytes], JsonValue]] = {
    "string": lambda wire: _bytes(wire).decode(),
    "bytes": lambda wire: base64.b64encode(_bytes(wire)).decode(),
    "bool": lambda wire: _signed(wire) != 0,
    "int32": _signed,
    "int64": _signed,
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "FieldsV1": lambda wire: orjson.loads(_wrapped(wire) or b"{}"),
    "api.resource.Quantity": lambda wire: _wrapped(wire).decode() or "0",
    "util.intstr.IntOrString": _int_or_string,
    "authentication.v1.ExtraValue": _extra_value,
}
