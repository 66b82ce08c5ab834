"""Objects as rules see them: typed by their schema, with field names that CEL can spell.

Source: k8s.io/apiserver/pkg/cel (escaping.go) and pkg/cel/common (valuesunstructured.go): times and
durations are values of CEL's own, numbers are doubles, what no schema describes is not seen.
"""

import base64
import binascii
import re
from typing import Any

from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.cel.functions import times
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    Duration,
    Failure,
    MapList,
    SetList,
    Timestamp,
)
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    Schema,
    additional,
    items,
    properties,
)
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
    "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SPECIAL = re.compile(r"__|[.\-/]")
_EXPRESSIBLE = re.compile(r"[A-Za-z_.\-/][A-Za-z0-9_.\-/]*", re.ASCII)
_DAYS = re.compile(r"([+-]?)(\d+(?:\.\d*)?)\s*(d|days?|w|weeks?|wks?)")
_DAY_NANOS = 86400 * 10**9
_STRING: Schema = {"type": "string"}
_META: Schema = {"type": "object", "properties": {"name": _STRING, "generateName": _STRING}}
IMPLIED: dict[str, Schema] = {"apiVersion": _STRING, "kind": _STRING, "metadata": _META}
"""The fields of every object, at the root and in an embedded resource."""


def escaped(name: str) -> str:
    """How a rule spells a field's name; "" for one that it cannot spell."""
    if _EXPRESSIBLE.fullmatch(name) is None:
        return ""
    if name in _RESERVED:
        return f"__{name}__"
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], name)


def fields_of(schema: Schema) -> dict[str, Schema]:
    """The fields that rules see of an object."""
    declared = properties(schema)
    if not schema.get(EMBEDDED) or _declares_implied(declared):
        return declared
    return {**declared, **IMPLIED}


def _declares_implied(declared: dict[str, Schema]) -> bool:
    meta = properties(declared.get("metadata"))
    texts = [declared.get("apiVersion"), declared.get("kind")]
    texts += [meta.get("name"), meta.get("generateName")]
    return all(one is not None and one.get("type") == "string" for one in texts)


def value(item: JsonValue, schema: Schema) -> Any:
    """A value as CEL gets it; what no schema describes only counts where values are compared."""
    if item is None or schema.get(INT_OR_STRING):
        return item
    if isinstance(item, dict):
        return _object(item, schema)
    if isinstance(item, list):
        return _list(item, schema)
    if isinstance(item, str):
        return _text(item, str(schema.get("format") or ""))
    if schema.get("type") == "number" and not isinstance(item, bool):
        return float(item)
    if schema.get("type") == "integer" and isinstance(item, float) and item.is_integer():
        return int(item)
    return item


def _object(item: JsonObject, schema: Schema) -> dict[str, Any]:
    take(len(item))
    values = additional(schema)
    if values is not None and not schema.get(EMBEDDED):
        return {name: value(inner, values) for name, inner in item.items()}
    declared = fields_of(schema)
    made: dict[str, Any] = {}
    for name, inner in item.items():
        if inner is None:
            continue  # a field that is null is absent
        found = declared.get(name)
        made[escaped(name) or name] = inner if found is None else value(inner, found)
    return made


def _list(item: list[JsonValue], schema: Schema) -> list[Any]:
    take(len(item))
    inner = items(schema)
    values = [value(one, inner) for one in item] if inner is not None else list(item)
    kind = schema.get(LIST_TYPE)
    if kind == "set":
        return SetList(values)
    if kind == "map":
        keyed = MapList(values)
        keyed.keys = tuple(escaped(name) or name for name in schema.get(LIST_KEYS) or ())
        return keyed
    return values


def _text(text: str, format_: str) -> Any:
    """A string of a format; one that is none (validation has said so) stays a string."""
    try:
        if format_ == "date-time":
            return _moment(text)
        if format_ == "date":
            return times.timestamp(f"{text}T00:00:00Z")
        if format_ == "byte":
            return base64.b64decode(text, validate=True)
        if format_ == "duration":
            return _duration(text)
    except (Failure, ValueError, binascii.Error):
        return text
    return text


def _moment(text: str) -> Timestamp:
    """A time as the format date-time has it: the zone may be without its colon."""
    return times.timestamp(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text))


def _duration(text: str) -> Duration:
    match = _DAYS.fullmatch(text.strip())
    if match is None:
        return times.duration(text.strip())
    days = float(match[2]) * (7 if match[3][0] == "w" else 1)
    nanos = int(days * _DAY_NANOS)
    return Duration(-nanos if match[1] == "-" else nanos)
