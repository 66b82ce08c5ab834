"""Lists that are sets or maps may name no element twice.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype.
"""

import json

from kubeherd.cluster.api.customresources.schema import (
    LIST_KEYS,
    LIST_TYPE,
    Schema,
    additional,
    items,
    properties,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import duplicate, invalid


def check(value: JsonValue, schema: Schema | None, path: str = "") -> list[Cause]:
    """A Duplicate cause for each element that comes again."""
    if schema is None:
        return []
    if isinstance(value, list):
        return _list(value, schema, path)
    if isinstance(value, dict):
        return _members(value, schema, path)
    return []


def _members(value: JsonObject, schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    declared, others = properties(schema), additional(schema)
    for name in value:
        if name in declared:
            causes += check(value[name], declared[name], f"{path}.{name}" if path else name)
        elif others is not None:
            causes += check(value[name], others, f"{path}[{name}]")
    return causes


def _list(value: list[JsonValue], schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    list_type = schema.get(LIST_TYPE)
    if list_type == "set":
        causes += [duplicate(f"{path}[{at}]", value[at]) for at in _repeated(value)]
    elif list_type == "map":
        causes += _map(value, schema.get(LIST_KEYS) or [], path)
    inner = items(schema)
    for index, item in enumerate(value):
        causes += check(item, inner, f"{path}[{index}]")
    return causes


def _map(value: list[JsonValue], keys: list[str], path: str) -> list[Cause]:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            detail = "must be an object for an array of list-type map"
            return [invalid(f"{path}[{index}]", item, detail)]
    found = [{key: item[key] for key in keys if key in (item or {})} for item in value]
    return [duplicate(f"{path}[{at}]", found[at]) for at in _repeated(found)]


def _repeated(values: list[JsonValue]) -> list[int]:
    """Where values are named a second time."""
    seen: dict[str, int] = {}
    out = []
    for index, value in enumerate(values):
        text = json.dumps(value, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            out.append(index)
    return out
