"""Names of Go and JSON types as they appear in decoding errors.

The schemas do not tell Go's named types of strings, numbers and maps, nor which fields come from an
embedded struct: ``gonames.json`` does, by Go struct and JSON name (taken from k8s.io/api v1.36).
"""

import json
from functools import cache
from pathlib import Path

from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_SCALARS: dict[FieldType, str] = {
    FieldType.STRING: "string",
    FieldType.INT32: "int32",
    FieldType.INT64: "int64",
    FieldType.NUMBER: "float64",
    FieldType.BOOL: "bool",
    FieldType.QUANTITY: "resource.Quantity",
    FieldType.INT_OR_STRING: "intstr.IntOrString",
    FieldType.TIME: "v1.Time",
    FieldType.MICRO_TIME: "v1.MicroTime",
    FieldType.BYTES: "[]uint8",
    FieldType.RAW: "interface {}",
    FieldType.RAW_OBJECT: "map[string]interface {}",
}


@cache
def _names() -> dict[str, dict[str, dict[str, str]]]:
    return json.loads(Path(__file__).with_name("gonames.json").read_bytes())  # type: ignore[no-any-return]


def json_type_of(value: JsonValue) -> str:
    """What Go calls a JSON value: ``bool``, ``string``, ``array``, ``object``, ``number``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def go_type_of(field: Field, struct: str, name: str) -> str:
    """The Go type of a field of `struct`: ``string``, ``[]v1.Container``, ``v1.PodSpec``."""
    named = _names()["named"].get(struct, {}).get(name)
    if field.type is FieldType.LIST and field.items is not None:
        return f"[]{named or go_type_of(field.items, '', '')}"
    if named is not None:
        return named
    if field.type is FieldType.MAP and field.additional is not None:
        return f"map[string]{go_type_of(field.additional, '', '')}"
    if field.definition is not None:
        package = field.definition_key.rpartition(".")[0].rpartition(".")[2]
        return f"{package}.{field.definition.go_type}"
    return _SCALARS[field.type]


def field_path(struct: str, name: str) -> str:
    """A field as Go's decoder names it, after what embeds it: ``VolumeSource.emptyDir``."""
    embedded = _names()["embedded"].get(struct, {}).get(name)
    return f"{embedded}.{name}" if embedded else name


_SAME_OBJECTS = {"events.k8s.io": ""}
"""Groups whose kinds are, inside Kubernetes, those of another group."""


def internal_type(group: str, kind: str) -> str:
    """The type that a kind has inside Kubernetes, whatever its version: ``apps.DaemonSet``."""
    package = _SAME_OBJECTS.get(group, group).partition(".")[0] or "core"
    return f"{package}.{kind}"
