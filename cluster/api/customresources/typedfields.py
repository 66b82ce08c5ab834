"""A custom resource's schema as the fields of a type: what server-side apply holds a body to.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder and kube-openapi's schemaconv:
unknown fields are refused unless the schema keeps them, before anything is pruned; what a schema
does not describe may be anything; metadata is that of Kubernetes, whatever the schema says of it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from kubeherd.cluster.api.customresources.embedded import OBJECT_META
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    PRESERVE,
    Schema,
    additional,
    has_additional,
    items,
    properties,
    rooted,
)
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_SCALARS: Final = {
    "string": FieldType.STRING,
    "integer": FieldType.INT64,
    "number": FieldType.NUMBER,
    "boolean": FieldType.BOOL,
}
_ANYTHING: Final = Field(FieldType.RAW)
_TEXT: Final = Field(FieldType.STRING)


class _Open(dict[str, Field]):
    """Declared fields of an object that keeps others, too."""

    def get(self, name: str, default: Field | None = None) -> Field:  # type: ignore[override]
        return super().get(name, default or _ANYTHING)


class _Object(Field, frozen=True, eq=False):
    """An object whose fields a schema declares."""

    declared: Mapping[str, Field] = msgspec.field(default_factory=dict)

    @property
    def properties(self) -> Mapping[str, Field]:
        return self.declared


def root(schema: Schema | None) -> Field:
    """The type of a whole object."""
    if not schema:
        schema = {PRESERVE: True}
    return _of(rooted({"type": "object", **schema}))


def _of(schema: Schema | None) -> Field:
    if not schema:
        return _ANYTHING
    if schema.get(INT_OR_STRING):
        return Field(FieldType.INT_OR_STRING)
    kind = schema.get("type")
    if kind == "array":
        return Field(
            FieldType.LIST,
            items=_of(items(schema)),
            list_type=str(schema.get(LIST_TYPE) or ""),
            list_map_keys=tuple(schema.get(LIST_KEYS) or ()),
        )
    if kind == "object" or properties(schema):
        return _object(schema)
    return Field(_SCALARS[kind]) if kind in _SCALARS else _ANYTHING


def _object(schema: Schema) -> Field:
    declared = {name: _of(inner) for name, inner in properties(schema).items()}
    if schema.get(EMBEDDED):
        metadata = Field(FieldType.OBJECT, definition_key=OBJECT_META)
        declared |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": metadata}
    elif not declared:
        if has_additional(schema):
            return Field(FieldType.MAP, additional=_of(additional(schema)))
        return _ANYTHING
    open_ = schema.get(PRESERVE) or has_additional(schema)
    return _Object(FieldType.OBJECT, declared=_Open(declared) if open_ else declared)
