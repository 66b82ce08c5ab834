"""Whether two trees stand for the same Go value: upstream's `equality.Semantic.DeepEqual`.

Trees that differ may mean the same: an empty list is as good as none, a zero that is no pointer as
good as its absence, 1Gi is 1073741824. A pointer to nothing and one to an empty struct differ.
Which field is which tells the table of Go structs. Invariant: only what differs is looked into, and
only until it is known to differ.
"""

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField

_QUANTITY = "api.resource.Quantity"


def equal(struct: str, one: JsonObject, other: JsonObject) -> bool:
    """Compare two values of a struct (``core.v1.PodTemplateSpec``)."""
    if one == other:
        return True
    if not gostructs.is_struct(struct):
        return False
    return all(_same_field(field, one, other) for field in gostructs.fields(struct))


def _same_field(field: GoField, one: JsonObject, other: JsonObject) -> bool:
    if not field.name:  # an embedded struct: its fields are in the same object
        return equal(field.type, one, other)
    left, right = one.get(field.name), other.get(field.name)
    if left == right:
        return True
    if field.repeated:
        return _same_items(field.type, left or [], right or [])
    if field.is_map:
        return _same_values(field.type, left or {}, right or {})
    if field.pointer and (left is None or right is None):
        return False
    return _same_value(field.type, left, right)


def _same_items(type_: str, left: list[JsonValue], right: list[JsonValue]) -> bool:
    return len(left) == len(right) and all(
        _same_value(type_, *pair) for pair in zip(left, right, strict=True)
    )


def _same_values(type_: str, left: JsonObject, right: JsonObject) -> bool:
    return left.keys() == right.keys() and all(
        _same_value(type_, left[key], right[key]) for key in left
    )


def _same_value(type_: str, left: JsonValue, right: JsonValue) -> bool:
    if left == right:
        return True
    if type_ == _QUANTITY:
        return quantity.parse(left or 0) == quantity.parse(right or 0)
    if items := gostructs.items_of(type_):
        return _same_items(items, left or [], right or [])
    if (
        isinstance(left or {}, dict)
        and isinstance(right or {}, dict)
        and gostructs.is_struct(type_)
    ):
        return equal(type_, left or {}, right or {})
    return not left and not right
