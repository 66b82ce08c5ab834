"""Field ownership in custom resources: the nodes of managedFields, made from a schema.

Source: structured-merge-diff as Kubernetes sets it up for unstructured objects. A field that the
schema does not describe is typed by what it holds: maps are granular, everything else is a leaf.
Unlike in Go structs no field always exists.
"""

from typing import ClassVar

from kubeherd.cluster.api.customresources.embedded import OBJECT_META
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    Schema,
    additional,
    has_additional,
    items,
    properties,
    rooted,
)
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.managedfields.fieldsets import LEAF, SELF, FieldSet
from kubeherd.cluster.api.managedfields.fieldtypes import (
    ATOM,
    CHANGED,
    NOTHING,
    Diff,
    Granular,
    Keyed,
    Member,
    Node,
    Struct,
    struct,
)
from kubeherd.cluster.api.schemas.definitions import Definition

_NO_FIELDS = Definition(key="custom", properties={})


class _Guarded(Node):
    """A container that may hold something else: ownership is recorded before objects are
    validated. What is of the wrong type is a leaf."""

    __slots__ = ()
    holds: ClassVar[type] = dict

    def added(self, value: JsonValue) -> FieldSet:
        return super().added(value) if isinstance(value, self.holds) else LEAF

    def owned(self, value: JsonValue) -> FieldSet:
        return super().owned(value) if isinstance(value, self.holds) else LEAF

    def diff(self, old: JsonValue, new: JsonValue) -> Diff:
        wrong = [v for v in (old, new) if v is not None and not isinstance(v, self.holds)]
        if not wrong:
            return super().diff(old, new)
        return NOTHING if old == new else CHANGED


class Deduced(_Guarded, Granular):
    """A value without a schema: a granular map of such values, or a leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(self)


class _Map(_Guarded, Granular):
    __slots__ = ()


class _Elements(_Guarded, Keyed):
    __slots__ = ()
    holds = list


_DEDUCED = Deduced()


class Declared(_Guarded, Struct):
    """An object whose fields a schema declares; others, where it keeps any, are deduced."""

    __slots__ = ("_declared",)

    def __init__(self, declared: dict[str, Node], skip: frozenset[str] = frozenset()) -> None:
        super().__init__(_NO_FIELDS, skip)
        self._declared = declared

    def knows(self, name: str) -> bool:
        return name in self._declared

    def _compile(self, name: str) -> Member:
        return Member("f:" + name, self._declared.get(name, _DEDUCED), False, None)

    def owned(self, value: JsonValue) -> FieldSet:
        out = super().owned(value)
        for name in value if isinstance(value, dict) else ():
            if name not in self._declared and (owned := out.get("f:" + name)):
                out["f:" + name] = owned if SELF in owned else {SELF: LEAF, **owned}
        return out


def node(schema: Schema | None) -> Node:
    """How a value of this schema is owned."""
    if schema is None:
        return _DEDUCED
    if schema.get(INT_OR_STRING) or schema.get(MAP_TYPE) == "atomic":
        return ATOM
    if schema.get("type") == "array":
        return _list(schema)
    if schema.get("type") == "object" or properties(schema):
        return _object(schema)
    return _DEDUCED if schema.get(PRESERVE) and not schema.get("type") else ATOM


def _key_defaults(schema: Schema, keys: tuple[str, ...]) -> JsonObject:
    """What a key that an element leaves out stands for."""
    declared = properties(items(schema))
    return {key: declared[key]["default"] for key in keys if "default" in (declared.get(key) or {})}


def _list(schema: Schema) -> Node:
    list_type = schema.get(LIST_TYPE)
    if list_type == "map":
        keys = tuple(schema.get(LIST_KEYS) or ())
        return _Elements(node(items(schema)), keys, _key_defaults(schema, keys))
    return _Elements(ATOM, (), {}) if list_type == "set" else ATOM


def _object(schema: Schema) -> Node:
    if not properties(schema) and not schema.get(EMBEDDED):
        if has_additional(schema):
            return _Map(node(additional(schema)))
        return _DEDUCED
    return Declared(_declared(schema))


def _declared(schema: Schema) -> dict[str, Node]:
    out = {name: node(inner) for name, inner in properties(schema).items()}
    if schema.get(EMBEDDED):
        out.update({"apiVersion": ATOM, "kind": ATOM, "metadata": struct(OBJECT_META)})
    return out


def root(schema: Schema | None, skip: frozenset[str] = frozenset()) -> Struct:
    """The node of a whole object, without the fields to `skip`."""
    return Declared(_declared(rooted(schema)), skip)
