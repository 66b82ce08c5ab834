"""Pruning: fields that the schema does not name are dropped (spec api-machinery, section 12).

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning. Changes trees in place.
"""

from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    PRESERVE,
    TYPE_META,
    Schema,
    additional,
    has_additional,
    items,
    properties,
    rooted,
)
from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

_MAX_PATHS = 100


def prune(tree: JsonObject, schema: Schema | None) -> list[str]:
    """Drop what an object's schema does not name; the paths of what was dropped, sorted."""
    dropped: list[str] = []
    _prune(tree, rooted(schema), "", dropped)
    return sorted(dropped)[:_MAX_PATHS]


def prune_value(value: JsonValue, schema: Schema) -> list[str]:
    """The same for a value that is no whole object, such as a default."""
    dropped: list[str] = []
    _prune(value, schema, "", dropped)
    return sorted(dropped)[:_MAX_PATHS]


def _prune(value: JsonValue, schema: Schema | None, path: str, dropped: list[str]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _prune(item, items(schema), f"{path}[{index}]", dropped)
    elif isinstance(value, dict) and schema is not None and schema.get(PRESERVE):
        _keep_unknown(value, schema, path, dropped)
    elif isinstance(value, dict):
        _prune_object(value, schema, path, dropped)


def _below(path: str, name: str) -> str:
    return cut(f"{path}.{name}" if path else name)


def _prune_object(value: JsonObject, schema: Schema | None, path: str, dropped: list[str]) -> None:
    declared = properties(schema)
    embedded = schema is not None and bool(schema.get(EMBEDDED))
    for name in list(value):
        if embedded and name in TYPE_META:
            continue
        if name in declared:
            _prune(value[name], declared[name], _below(path, name), dropped)
        elif schema is not None and has_additional(schema):
            _prune(value[name], additional(schema), _below(path, name), dropped)
        else:
            dropped.append(_below(path, name))
            del value[name]


def _keep_unknown(value: JsonObject, schema: Schema, path: str, dropped: list[str]) -> None:
    """Unknown fields stay; what is declared is pruned by its own schema."""
    declared = properties(schema)
    for name, item in value.items():
        if schema.get(EMBEDDED) and name in TYPE_META:
            continue
        if name in declared:
            _prune(item, declared[name], _below(path, name), dropped)
        elif has_additional(schema):
            _prune(item, additional(schema), _below(path, name), dropped)
