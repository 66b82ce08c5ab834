"""Which fields of a built-in type Kubernetes prints although nobody set them.

Go writes a struct field that is neither a pointer nor ``omitempty`` even when it is zero, and a
struct whatever its tag, unless it is ``omitzero``: null for times and lists, ``{}``, ``""``, 0 and
false. What Go's structs are like says `gostructs`.
"""

from functools import cache

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import definitions, gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField

_ZEROS: dict[str, JsonValue] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0,
    "api.resource.Quantity": "0", "util.intstr.IntOrString": 0,
    "apis.meta.v1.Time": None, "apis.meta.v1.MicroTime": None, "runtime.RawExtension": None,
}  # fmt: skip


@cache
def printed(key: str) -> JsonObject:
    """The fields of the definition `key` that are always printed, with their zero values; none of
    lists of objects, which are made by the server, and of types that are not served."""
    struct = gostructs.struct_of_definition(key)
    if key.endswith("List") or not gostructs.is_struct(struct):
        return {}
    return printed_of(gostructs.fields(struct), frozenset(definitions.by_key(key).properties))


def printed_of(fields: tuple[GoField, ...], known: frozenset[str]) -> JsonObject:
    """The same of a struct's fields, as far as their JSON names are `known`."""
    return {
        field.name: _zero(field)
        for field in fields
        if field.name in known
        and not field.omitzero
        and (not field.omitempty or (_is_single(field) and "." in field.type))
    }


def _is_single(field: GoField) -> bool:
    """Whether the field holds one value that is always there."""
    many = field.repeated or field.is_map or field.type == "bytes"
    return not (field.pointer or many or gostructs.items_of(field.type))


def _zero(field: GoField) -> JsonValue:
    return _ZEROS.get(field.type, {}) if _is_single(field) else None
