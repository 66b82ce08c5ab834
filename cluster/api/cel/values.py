"""Objects as rules see them: typed by their schema, with field names that CEL can spell.

Source: k8s.io/apiserver/pkg/cel (escaping.go) and k8s.io/apiextensions-apiserver's
UnstructuredToVal: times and durations are values of CEL's own, numbers are doubles.
"""

import base64
import binascii
import re
from datetime import timedelta
from typing import Any

from kubeherd.cluster.api.customresources import formats
from kubeherd.cluster.api.customresources.schema import Schema, additional, items, properties
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.timestamps import parse_time

_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
    "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SPECIAL = re.compile(r"__|[.\-/]")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


def escaped(name: str) -> str:
    """How a rule spells a field's name."""
    if name in _RESERVED:
        return f"__{name}__"
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], name)


def value(item: JsonValue, schema: Schema | None) -> Any:
    """A value as CEL gets it."""
    if isinstance(item, dict):
        declared = properties(schema)
        if declared:
            return {escaped(name): value(inner, declared.get(name)) for name, inner in item.items()}
        values = additional(schema)
        return {name: value(inner, values) for name, inner in item.items()}
    if isinstance(item, list):
        inner_schema = items(schema)
        return [value(inner, inner_schema) for inner in item]
    if isinstance(item, str) and schema is not None and schema.get("format"):
        return _formatted(item, formats.normalised(str(schema["format"])))
    if isinstance(item, int) and schema is not None and schema.get("type") == "number":
        return item if isinstance(item, bool) else float(item)
    return item


def _formatted(text: str, format_: str) -> Any:
    try:
        if format_ == "datetime":
            return parse_time(text)
        if format_ == "date":
            return parse_time(f"{text}T00:00:00Z")
        if format_ == "byte":
            return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return text
    if format_ == "duration" and _DURATION.sub("", text) == "":
        seconds = sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(text))
        return timedelta(seconds=seconds)
    return text


def size(item: Any) -> tuple[int, int]:
    """How many values there are in one, and the length of the longest list or map in it."""
    pending, count, longest = [item], 0, 1
    while pending:
        one = pending.pop()
        count += 1
        if isinstance(one, dict):
            longest = max(longest, len(one))
            pending.extend(one.values())
        elif isinstance(one, list):
            longest = max(longest, len(one))
            pending.extend(one)
        elif isinstance(one, str | bytes):
            count += len(one) // 100
    return count, longest
