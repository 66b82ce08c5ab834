"""Defaults of a schema, written into an object (in place).

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting. A null where the schema
allows none counts as absent: it takes the default, or goes.
"""

import copy

from kubeherd.cluster.api.customresources.schema import Schema, additional, items, properties
from kubeherd.cluster.api.customresources.schema import of_field as field_schema
from kubeherd.cluster.api.jsontypes import JsonValue


def default(value: JsonValue, schema: Schema | None) -> None:
    """Drop nulls that may not be, then fill in the defaults."""
    _drop_nulls(value, schema)
    _fill(value, schema)


def _refuses_null(schema: Schema | None) -> bool:
    return schema is not None and not schema.get("nullable")


def _drop_nulls(value: JsonValue, schema: Schema | None) -> None:
    if isinstance(value, dict):
        for name in list(value):
            inner = field_schema(schema, name)
            if value[name] is None and _refuses_null(inner) and not _has_default(inner):
                del value[name]
            else:
                _drop_nulls(value[name], inner)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item, items(schema))


def _has_default(schema: Schema | None) -> bool:
    return schema is not None and schema.get("default") is not None


def _default_of(schema: Schema | None) -> JsonValue:
    return copy.deepcopy(schema.get("default")) if schema else None


def _fill(value: JsonValue, schema: Schema | None) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        for name, inner in properties(schema).items():
            absent = name not in value or (value[name] is None and _refuses_null(inner))
            if absent and _has_default(inner):
                value[name] = _default_of(inner)
        for name in value:
            inner_schema = field_schema(schema, name)
            if value[name] is None and name not in properties(schema):
                value[name] = (
                    _default_of(additional(schema)) if _refuses_null(inner_schema) else None
                )
            _fill(value[name], inner_schema)
    elif isinstance(value, list):
        inner_items = items(schema)
        for index, item in enumerate(value):
            if item is None and _refuses_null(inner_items):
                value[index] = _default_of(inner_items)
            _fill(value[index], inner_items)
