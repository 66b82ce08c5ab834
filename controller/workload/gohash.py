"""The hash of a pod template, equal to the one that Kubernetes v1.36 computes (spec section 9.3).

Kubernetes hashes a dump of the Go struct `v1.PodTemplateSpec`, so its value depends on Go facts
that JSON does not tell: the order and the Go names of all fields, their types, which of them are
pointers, and the private fields of quantities. The table of Go structs (`cluster.api.schemas`) has
most of them; `template_types.json` adds named types, which nothing else depends on, and the structs
with private fields, as {JSON name: "GoName go.Type"}. An embedded struct has an empty JSON name.

Invariants: equal templates (whatever the order of their keys) have equal hashes. A template that
the table cannot express (an unknown field, a set timestamp, a quantity beyond Go's int64 form)
still has a deterministic hash of the same alphabet, merely not the one of Kubernetes.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField

_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_SAFE_DIGITS = str.maketrans("0123456789", "456789bcdf")
_HTML_SAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""What Go escapes in JSON although it need not."""

_AMOUNT = re.compile(r"([0-9]+)(?:([numkMGTPE]?)|([KMGTPE])i|e(-?[0-9]+))")
_DECIMAL = dict(zip(["n", "u", "m", "", *"kMGTPE"], range(-9, 19, 3), strict=True))
_BINARY_BITS = dict(zip("KMGTPE", range(10, 61, 10), strict=True))
_INT64_DIGITS = 18


class _Inexpressible(Exception):
    """The template has something whose Go form is not known here."""


class _GoTypes(msgspec.Struct, frozen=True):
    """Underlying types of named types, the fields that have named types, structs of their own."""

    named: Mapping[str, str]
    fields: Mapping[str, str]
    structs: Mapping[str, Mapping[str, str]]


@cache
def _types() -> _GoTypes:
    table = Path(__file__).with_name("template_types.json").read_bytes()
    return msgspec.json.decode(table, type=_GoTypes)


_PACKAGES = {
    "core.v1.": "v1.",
    "apis.meta.v1.": "v1.",
    "api.resource.": "resource.",
    "util.intstr.": "intstr.",
}
"""What the packages of the table are called in Go."""


@cache
def _struct_fields(name: str) -> Mapping[str, str] | None:
    """{JSON name: "GoName go.Type"} of a struct (``v1.PodSpec``) in Go's order; None of others."""
    types = _types()
    if name in types.structs:
        return types.structs[name]
    short = name.removeprefix("v1.")
    for package in ("core.v1.", "apis.meta.v1."):
        if gostructs.is_struct(package + short):
            return {
                field.name: f"{field.go_name} {_go_type(name, field)}"
                for field in gostructs.fields(package + short)
            }
    return None


def _go_type(struct: str, field: GoField) -> str:
    """The type of a field as Go prints it."""
    named = _types().fields.get(f"{struct}.{field.go_name}")
    if named is not None:
        return named
    type_ = field.type
    for package, printed in _PACKAGES.items():
        if type_.startswith(package):
            type_ = printed + type_.removeprefix(package)
    if field.is_map:
        return f"map[string]{type_}"
    return ("[]" if field.repeated else "*" if field.pointer else "") + type_


def template_hash(template: JsonObject, collision_count: int | None) -> str:
    """FNV-1a (32 bit) over the template and the collision count, in safe characters."""
    try:
        data = dump(template).encode()
    except _Inexpressible:
        data = msgspec.json.encode(template, order="deterministic")
    if collision_count is not None:
        data += (collision_count & 0xFFFFFFFF).to_bytes(4, "little") + bytes(4)
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return str(value).translate(_SAFE_DIGITS)


def data_hash(data: JsonObject, collision_count: int) -> str:
    """The hash that a ControllerRevision with these data has where it is not the template that is
    hashed: FNV-1 (32 bit) over the JSON, as Go writes a map, and the collision count in decimal
    (pkg/controller/history, HashControllerRevision; not the FNV-1a of `template_hash`)."""
    text = msgspec.json.encode(data, order="sorted").decode().translate(_HTML_SAFE)
    value = _FNV_OFFSET
    for byte in f"{text}{collision_count}".encode():
        value = ((value * _FNV_PRIME) & 0xFFFFFFFF) ^ byte
    return str(value).translate(_SAFE_DIGITS)


def dump(template: JsonObject) -> str:
    """The Go value of a template in spew's notation: types in parentheses, maps sorted by key."""
    return _typed("v1.PodTemplateSpec", template)


def _typed(go_type: str, value: JsonValue) -> str:
    if go_type.startswith("*"):
        return f"({go_type}){'<nil>' if value is None else _untyped(go_type[1:], value)}"
    return f"({go_type}){_untyped(go_type, value)}"


def _untyped(go_type: str, value: JsonValue) -> str:
    """The value without its own type, as in the elements of lists and maps; None is Go's zero."""
    if _struct_fields(go_type) is not None:
        convert = _CONVERTERS.get(go_type)
        return _struct(go_type, convert(value) if convert else value or {})
    underlying = _types().named.get(go_type, go_type)
    if underlying.startswith("[]"):
        if not value:
            return "<nil>"
        return f"[{' '.join(_untyped(underlying[2:], item) for item in value)}]"
    if underlying.startswith("map["):
        if not value:
            return "<nil>"
        element = underlying.partition("]")[2]
        items = sorted(value.items(), key=lambda item: item[0].encode())
        return f"map[{' '.join(f'{key}:{_untyped(element, item)}' for key, item in items)}]"
    if underlying == "string":
        return value or ""
    if underlying == "bool":
        return "true" if value else "false"
    if underlying in ("int32", "int64", "uint64"):
        return str(value or 0)
    raise _Inexpressible(go_type)


def _struct(name: str, value: JsonObject) -> str:
    rest = dict(value)
    fields = []
    for json_name, declaration in (_struct_fields(name) or {}).items():
        go_name, _, go_type = declaration.partition(" ")
        field: JsonValue
        if json_name:
            field = rest.pop(json_name, None)
        else:
            inner = _struct_fields(go_type) or {}
            field = {key: rest.pop(key) for key in inner if key in rest}
        fields.append(f"{go_name}:{_typed(go_type, field)}")
    if rest:
        raise _Inexpressible(f"{name}.{next(iter(rest))}")
    return f"{{{' '.join(fields)}}}"


def _quantity(value: JsonValue) -> JsonObject:
    """`resource.Quantity` as parsed from its canonical text, which is what controllers receive.

    Parsing keeps the text only if it is sure that it would be written the same way.
    """
    text = quantity.parse(value or "0").canonical()
    if text == "0":
        return {"s": text, "format": "DecimalSI"}
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise _Inexpressible(text)
    digits, decimal, binary, exponent = match.groups()
    scale = 0
    amount = int(digits)
    if binary is not None:
        bits = _BINARY_BITS[binary]
        room = 15 - len(digits) - bits * 3 // 10 - 1
        form, kept = "BinarySI", amount % 8 != 0
        amount <<= bits
    else:
        scale = _DECIMAL[decimal] if exponent is None else int(exponent)
        room = _INT64_DIGITS - len(digits)
        form = "DecimalSI" if exponent is None else "DecimalExponent"
        kept = scale % 3 == 0 and not digits.endswith("000")
    if room < 0:
        raise _Inexpressible(text)
    return {"i": {"value": amount, "scale": scale}, "s": text if kept else "", "format": form}


def _int_or_string(value: JsonValue) -> JsonObject:
    return {"type": 1, "strVal": value} if isinstance(value, str) else {"intVal": value}


def _time(value: JsonValue) -> JsonObject:
    """`v1.Time`: only the zero one; another one tells the time zone of the controller manager."""
    if value is not None:
        raise _Inexpressible("v1.Time")
    return {}


_CONVERTERS: Mapping[str, Callable[[JsonValue], JsonObject]] = {
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "v1.Time": _time,
}
