"""``Object{..}`` and ``JSONPatch{..}``: the values that expressions of mutations make.

Source: Kubernetes v1.36, apiserver/pkg/cel/mutation and library/jsonpatch.go. The type of each
object is named by the fields that lead to it; what fields it has is not known.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubeherd.cluster.api.cel.checker.declarations import Functions, function
from kubeherd.cluster.api.cel.checker.types import DYN, STRING, Kind, Type
from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    Duration,
    ObjectValue,
    Optional,
    Timestamp,
)
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

OBJECT: Final = Type(Kind.STRUCT, "Object")
PATCH: Final = Type(Kind.STRUCT, "JSONPatch")
_PATCH_FIELDS = {"op": STRING, "from": STRING, "path": STRING, "value": DYN}


def _is_object(name: str) -> bool:
    return name == OBJECT.name or name.startswith(f"{OBJECT.name}.")


class _AnyField(dict[str, Type]):
    """The fields of a type that has them all."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Type:
        return DYN


class Types(dict[str, Type]):
    """Types by their names, those of objects and patches among them."""

    def get(self, name: str, default: Any = None) -> Any:
        if _is_object(name):
            return Type(Kind.STRUCT, name)
        return PATCH if name == PATCH.name else super().get(name, default)


class Fields(dict[str, Mapping[str, Type]]):
    """The fields of types by the names of the types, those of objects and patches among them."""

    def get(self, name: str, default: Any = None) -> Any:
        if _is_object(name):
            return _AnyField()
        return _PATCH_FIELDS if name == PATCH.name else super().get(name, default)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


LIBRARY: Final[Functions] = {
    "jsonpatch.escapeKey": (
        function("string_jsonpatch_escapeKey_string", STRING, _escaped, STRING),
    ),
}


def mismatches(value: Any, path: str) -> Iterator[str]:
    """Where the type that was named is not the one of the field: the checker does not tell."""
    if isinstance(value, dict | list):
        take(4 * len(value))
    if isinstance(value, ObjectValue):
        if value.type.name != path:
            yield (
                f'unexpected type name "{value.type.name}", expected "{path}", which matches field '
                "name path from root Object type"
            )
        for name, inner in value.items():
            yield from mismatches(inner, f"{path}.{name}")
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from mismatches(inner, path)


def plain(value: Any) -> JsonValue:
    """An evaluated value as a JSON tree."""
    if isinstance(value, dict | list):
        take(4 * len(value))
    if isinstance(value, dict):
        found: JsonObject = {str(name): plain(inner) for name, inner in value.items()}
        return found
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp | Duration):
        return str(value)
    if isinstance(value, Optional):
        return plain(value.value) if value.present else None
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
