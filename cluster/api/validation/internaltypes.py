"""Kubernetes' internal types of the core group, as error texts and differences show them.

Kubernetes validates its internal types, which carry no JSON names, and prints a refused struct as
JSON: so the text has Go's field names, and all of them, zeros included. (LabelSelector and
OwnerReference are no internal types; they are shown as they came.) The types are data,
`internal_types.json`, read when the first such text is made: for each the fields in Go's order,
``GoName[=jsonName] kind``, where the kind is a zero value's (``string``, ``int``, ``bool``,
``quantity``), a struct, or ``*`` and perhaps a struct for what is null while unset; ``...Type``
stands for the fields of an embedded type.
"""

import json
from functools import cache
from pathlib import Path

import msgspec

from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

_ZEROS: dict[str, JsonValue] = {"string": "", "int": 0, "bool": False, "quantity": "0"}
_HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_MAX_LINES = 4000
"""Of longer structs the difference is not shown: to find it takes the square of the lines."""


class _Field(msgspec.Struct, frozen=True):
    go_name: str
    json_name: str
    nullable: bool
    zero: JsonValue
    struct: str


def struct(name: str, tree: JsonObject, *, stored: bool = False) -> JsonObject:
    """The struct of internal type `name` that `tree` stands for. `stored`: it was read from the
    store, which knows no empty lists and maps."""
    if name == "PodSpec":
        host = {key: tree[key] for key in _HOST_FIELDS if key in tree}
        tree = {**tree, "securityContext": {**(tree.get("securityContext") or {}), **host}}
    shown: JsonObject = {}
    for field in _fields(name):
        if not field.go_name:
            inner = tree if field.struct else tree.get("metadata") or {}
            shown |= struct(field.struct, inner, stored=stored) if field.struct else inner
            continue
        value = tree.get(field.json_name)
        if value is None or (stored and field.nullable and not field.struct and value in ({}, [])):
            empty = field.struct and not field.nullable
            shown[field.go_name] = struct(field.struct, {}) if empty else field.zero
        elif not field.struct:
            shown[field.go_name] = _sorted_map(value)
        elif isinstance(value, list):
            items = [struct(field.struct, item, stored=stored) for item in value]
            shown[field.go_name] = items if items or not stored else None
        else:
            shown[field.go_name] = struct(field.struct, value, stored=stored)
    return shown


def _sorted_map(value: JsonValue) -> JsonValue:
    """Go writes maps sorted; a LabelSelector is a struct of its own."""
    if not isinstance(value, dict) or "matchLabels" in value or "matchExpressions" in value:
        return value
    return dict(sorted(value.items()))


@cache
def _types() -> dict[str, str]:
    types: dict[str, str] = json.loads(Path(__file__).with_name("internal_types.json").read_bytes())
    return types


@cache
def _fields(name: str) -> tuple[_Field, ...]:
    return tuple(map(_field, _types()[name].split(", ")))


def _field(text: str) -> _Field:
    if text.startswith("..."):
        embedded = text[3:]
        return _Field("", "", False, None, "" if embedded == "ObjectMeta" else embedded)
    named, kind = text.split(" ")
    go_name, _, json_name = named.partition("=")
    nullable = kind.startswith("*")
    zero = _ZEROS.get(kind)
    inner = "" if kind in _ZEROS else kind.removeprefix("*")
    json_name = json_name or go_name[0].lower() + go_name[1:]
    return _Field(go_name, json_name, nullable, zero, inner)


def difference(name: str, old: JsonObject, new: JsonObject) -> str:
    """A unified diff of two structs as indented JSON (apimachinery, util/diff)."""
    from difflib import unified_diff  # noqa: PLC0415 - seldom needed

    before = _lines(struct(name, old, stored=True))
    after = _lines(struct(name, new))
    if max(len(before), len(after)) > _MAX_LINES:
        return ""
    return cut("".join(list(unified_diff(before, after))[2:]))


def _lines(shown: JsonObject) -> list[str]:
    text = json.dumps(shown, indent=1, ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return [f"{line}\n" for line in text.split("\n")]
