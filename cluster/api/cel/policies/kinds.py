"""Objects of Kubernetes' own kinds, and of custom ones, as types: what type checking goes by.

Source: k8s.io/apiserver/pkg/cel/common/schemas.go over the published schemas. A type is named by
its definition, so that definitions may contain themselves.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from kubeherd.cluster.api.cel.checker.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Kind,
    Type,
    list_of,
    map_of,
)  # fmt: skip
from kubeherd.cluster.api.cel.schemas.declared import declared
from kubeherd.cluster.api.cel.schemas.values import escaped
from kubeherd.cluster.api.customresources.schema import rooted
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_SCALARS = {
    FieldType.STRING: STRING,
    FieldType.INT32: INT,
    FieldType.INT64: INT,
    FieldType.NUMBER: DOUBLE,
    FieldType.BOOL: BOOL,
    FieldType.TIME: TIMESTAMP,
    FieldType.MICRO_TIME: TIMESTAMP,
    FieldType.BYTES: BYTES,
}
"""What is not here can be anything."""


class Fields(dict[str, Mapping[str, Type]]):
    """The fields of types by the names of the types, definitions of Kubernetes among them."""

    def get(self, name: str, default: Any = None) -> Any:
        found = super().get(name)
        if found is None and name.startswith("io.k8s."):
            return _fields(name)
        return default if found is None else found


def type_of(resource: Resource, fields: Fields) -> Type:
    """The type of the objects of a resource, whose fields are added to `fields`; DYN if nothing is
    known of them."""
    if resource.custom is not None:
        found = declared(rooted(resource.custom.schema), resource.kind)
        if found is None:
            return DYN
        fields.update(found.all_fields())
        return found.type
    try:
        key = definitions.key_of(resource.group, resource.version, resource.kind)
    except KeyError:
        return DYN
    return Type(Kind.STRUCT, key)


@cache
def _fields(key: str) -> Mapping[str, Type]:
    properties = definitions.by_key(key).properties
    return {escaped(name): _type(field) for name, field in properties.items() if escaped(name)}


def _type(field: Field) -> Type:
    if field.type is FieldType.OBJECT:
        return Type(Kind.STRUCT, field.definition_key)
    if field.type is FieldType.MAP:
        return map_of(STRING, DYN if field.additional is None else _type(field.additional))
    if field.type is FieldType.LIST:
        return list_of(DYN if field.items is None else _type(field.items))
    return _SCALARS.get(field.type, DYN)
