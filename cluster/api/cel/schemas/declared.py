"""What a schema says of the values that rules see: their types, and how large they can be.

Source: k8s.io/apiserver/pkg/cel/common/schemas.go and pkg/cel/types.go. Sizes count characters,
elements or entries; what has no limit in the schema is limited by the size of a request.
"""

from typing import Final

import msgspec

from kubeherd.cluster.api.cel.checker import types
from kubeherd.cluster.api.cel.checker.types import Kind, Type
from kubeherd.cluster.api.cel.schemas.values import escaped, fields_of
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    Schema,
    additional,
    items,
)

MAX_REQUEST_BYTES: Final = 3 * 1024 * 1024
_TEXTS: Final = {
    "duration": (types.DURATION, 3, 32),
    "date": (types.TIMESTAMP, 12, 12),
    "date-time": (types.TIMESTAMP, 21, 32),
}
"""The type of a format, and the least and the largest length of one in JSON."""
_SCALARS: Final = {
    "boolean": (types.BOOL, 4),
    "number": (types.DOUBLE, 1),
    "integer": (types.INT, 1),
}


class Declared(msgspec.Struct, frozen=True):
    """A type; the most elements that a value can have, and the fewest bytes that it takes."""

    type: Type
    max_elements: int
    min_bytes: int
    element: "Declared | None" = None
    fields: dict[str, "Declared"] = {}

    def at(self, path: tuple[str, ...]) -> "Declared | None":
        """What is at a path of fields, ``@items``, ``@keys`` and ``@values``."""
        found: Declared | None = self
        for step in path:
            if found is None:
                return None
            if step in ("@items", "@values"):
                found = found.element
            elif step == "@keys":
                found = _KEY if found.type.kind is Kind.MAP else None
            else:
                found = found.fields.get(step)
        return found

    def all_fields(self) -> dict[str, dict[str, Type]]:
        """The fields of this type and of all in it that are objects, by the types' names."""
        found: dict[str, dict[str, Type]] = {}
        if self.type.kind is Kind.STRUCT:
            found[self.type.name] = {name: one.type for name, one in self.fields.items()}
        for inner in [*self.fields.values(), *([self.element] if self.element else [])]:
            found.update(inner.all_fields())
        return found


_KEY = Declared(types.STRING, 0, 2)


def declared(schema: Schema, name: str = "selfType1") -> Declared | None:
    """What a schema declares; None if rules do not see values of it. `name` is that of its type."""
    if schema.get(INT_OR_STRING):
        longest = schema.get("maxLength")
        most = MAX_REQUEST_BYTES - 2 if longest is None else max(0, longest) * 4
        return Declared(types.DYN, most, 1)
    kind = schema.get("type")
    if kind == "array":
        return _list(schema, name)
    if kind == "object" or schema.get(EMBEDDED):
        return _object(schema, name)
    if kind == "string":
        return _text(schema)
    if kind in _SCALARS:
        type_, least = _SCALARS[kind]
        return Declared(type_, 0, least)
    return None


def _list(schema: Schema, name: str) -> Declared | None:
    inner = items(schema)
    element = declared(inner, f"{name}.@idx") if inner is not None else None
    if element is None:
        return None
    most = schema.get("maxItems")
    if most is None:
        most = (MAX_REQUEST_BYTES - 2) // (element.min_bytes + 1)
    return Declared(types.list_of(element.type), max(0, most), 2, element)


def _object(schema: Schema, name: str) -> Declared | None:
    values = additional(schema)
    if values is not None and not schema.get(EMBEDDED):
        element = declared(values, f"{name}.@elem")
        if element is None:
            return None
        most = schema.get("maxProperties")
        if most is None:
            most = (MAX_REQUEST_BYTES - 2) // (element.min_bytes + 6)
        return Declared(types.map_of(types.STRING, element.type), max(0, most), 2, element)
    fields: dict[str, Declared] = {}
    least = 2
    for field, inner in fields_of(schema).items():
        spelt = escaped(field)
        found = declared(inner, f"{name}.{spelt}") if spelt else None
        if found is None:
            continue
        fields[spelt] = found
        if field in (schema.get("required") or ()) and inner.get("default") is None:
            least += len(field) + found.min_bytes + 4
    return Declared(Type(Kind.STRUCT, name), 0, least, None, fields)


def _text(schema: Schema) -> Declared:
    format_, longest = schema.get("format"), schema.get("maxLength")
    if format_ in _TEXTS:
        type_, least, most = _TEXTS[format_]
        return Declared(type_, most, least)
    if format_ == "byte":
        return Declared(
            types.BYTES, MAX_REQUEST_BYTES - 2 if longest is None else max(0, longest), 2
        )
    if longest is not None:
        most = max(0, longest) * 4
    elif schema.get("enum"):
        most = max(len(one.encode()) for one in schema["enum"] if isinstance(one, str))
    else:
        most = MAX_REQUEST_BYTES - 2
    return Declared(types.STRING, most, 2)
