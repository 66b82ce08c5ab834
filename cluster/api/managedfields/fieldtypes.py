"""Which fields a tree has and which changed, by its schema: the walkers behind managedFields.

Each struct of the API is compiled once into a `Struct` whose fields know their FieldsV1 key and
how to compare, so that recording a write costs what the write touches (equal subtrees are skipped
by one C-level comparison). The rules are those of structured-merge-diff: atomic values are
leaves, map lists are keyed, a field that appears is "added" together with everything below it.

Kubernetes compares Go structs, in which required fields and embedded structs always exist. Such a
field is therefore never added or removed, only modified; an absent one counts as zero.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.managedfields.fieldsets import LEAF, SELF, FieldSet
from kubeherd.cluster.api.schemas import zeros
from kubeherd.cluster.api.schemas.definitions import Definition, Field, FieldType, by_key

Diff = tuple[FieldSet | None, FieldSet | None]
"""Fields that were added or modified, and fields that were removed; None stands for no field."""
NOTHING: Diff = (None, None)
CHANGED: Diff = (LEAF, None)


class Node:
    """A leaf: a scalar, or a list or map that is owned as a whole."""

    __slots__ = ()

    def added(self, value: JsonValue) -> FieldSet:
        """The set of a value that was not there before (as a child: ``{}`` is a member)."""
        return LEAF

    def owned(self, value: JsonValue) -> FieldSet:
        """The set that an applied value claims; containers of struct fields are not claimed."""
        return LEAF

    def diff(self, old: JsonValue, new: JsonValue) -> Diff:
        """What differs between two values of a field that both sides have."""
        return NOTHING if old == new else CHANGED


ATOM = Node()


class Member(NamedTuple):
    """A field of a struct: its FieldsV1 key, its node, and its zero if it always exists; whether it
    is a struct that always exists (``spec``, and not ``selector``, which may be null)."""

    key: str
    node: Node
    always: bool
    zero: JsonValue
    embedded: bool = False


class Struct(Node):
    """A struct with granular ownership."""

    __slots__ = ("_definition", "_members", "skip")

    def __init__(self, definition: Definition, skip: frozenset[str] = frozenset()) -> None:
        self._definition = definition
        self.skip = skip
        self._members: dict[str, Member] = {}

    def member(self, name: str) -> Member:
        """The field called `name`; unknown names are leaves, and not kept: clients choose them."""
        found = self._members.get(name)
        if found is None:
            found = self._compile(name)
            if self.knows(name):
                self._members[name] = found
        return found

    def knows(self, name: str) -> bool:
        """Whether the schema declares the field."""
        return name in self._definition.properties

    def override(self, name: str, node: Node) -> None:
        """Puts another node in a field's place (the tracker's metadata skips some fields)."""
        self._members[name] = Member("f:" + name, node, True, None)

    def _compile(self, name: str) -> Member:
        field = self._definition.properties.get(name)
        if field is None:
            return Member("f:" + name, ATOM, False, None)
        printed = zeros.printed(self._definition.key)
        embedded = printed.get(name) == {}
        zero = _ZEROS.get(field.type)
        return Member("f:" + name, node_of(field), name in printed, zero, embedded)

    def added(self, value: JsonValue) -> FieldSet:
        if not value:
            return LEAF
        out: FieldSet = {SELF: LEAF}
        members = self._members
        for name in sorted(value):
            key, node, *_ = members.get(name) or self.member(name)
            out[key] = LEAF if node is ATOM else node.added(value[name])
        return out

    def owned(self, value: JsonValue) -> FieldSet:
        out: FieldSet = {}
        for name in sorted(value or ()):
            if name in self.skip:
                continue
            key, node, *_ = self.member(name)
            sub = node.owned(value[name])
            if not sub and isinstance(node, Struct) and node.skip:
                continue  # nothing in it but members that nobody owns
            out[key] = sub
        return out

    def diff(self, old: JsonValue, new: JsonValue) -> Diff:
        old, new = old or {}, new or {}
        changed: FieldSet = {}
        removed: FieldSet = {}
        members = self._members
        for name in sorted(new if new.keys() >= old.keys() else new.keys() | old.keys()):
            before, after = old.get(name), new.get(name)
            if before is after or before == after or name in self.skip:
                continue
            key, node, always, zero, _ = members.get(name) or self.member(name)
            if before is None and not always:
                changed[key] = LEAF if node is ATOM else node.added(after)
                continue
            if after is None and name in new and not always:
                changed[key] = LEAF  # applied as null
                continue
            if after is None and not always:
                removed[key] = LEAF if node is ATOM else node.added(before)
                continue
            if node is ATOM:
                if (zero if before is None else before) != (zero if after is None else after):
                    changed[key] = LEAF
                continue
            more, less = node.diff(before, after)
            if more is not None:
                changed[key] = more
            if less is not None:
                removed[key] = less
        return changed or None, removed or None


class Granular(Node):
    """A map with granular ownership, such as labels."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def added(self, value: JsonValue) -> FieldSet:
        if not value:
            return LEAF
        out: FieldSet = {SELF: LEAF}
        for name in sorted(value):
            out["f:" + name] = self.node.added(value[name])
        return out

    def owned(self, value: JsonValue) -> FieldSet:
        return {
            "f:" + name: _with_self(self.node.owned(value[name])) for name in sorted(value or ())
        }

    def diff(self, old: JsonValue, new: JsonValue) -> Diff:
        if not old and not new:
            return CHANGED  # of null and an empty one: here only fields that print both
        old, new = old or {}, new or {}
        return _diff_items(
            self.node, {"f:" + k: v for k, v in old.items()}, {"f:" + k: v for k, v in new.items()}
        )


class Keyed(Node):
    """A list whose elements have identities: a list map (by keys) or a set (by value)."""

    __slots__ = ("defaults", "keys", "node")

    def __init__(self, node: Node, keys: tuple[str, ...], defaults: JsonObject) -> None:
        self.node = node
        self.keys = keys
        self.defaults = defaults

    def key(self, item: JsonValue) -> str:
        """The path element of an element."""
        return element_key(item, self.keys, self.defaults)

    def items(self, value: JsonValue) -> dict[str, JsonValue]:
        """The elements by path element; elements that share one are put together."""
        out: dict[str, JsonValue] = {}
        for item in value or ():
            key = element_key(item, self.keys, self.defaults)
            out[key] = _Several([out[key], item]) if key in out else item
        return out

    def added(self, value: JsonValue) -> FieldSet:
        if not value:
            return LEAF
        items = self.items(value)
        out: FieldSet = {SELF: LEAF}
        for key in sorted(items):
            out[key] = LEAF if type(items[key]) is _Several else self.node.added(items[key])
        return out

    def owned(self, value: JsonValue) -> FieldSet:
        items = self.items(value)
        return {
            key: LEAF if type(items[key]) is _Several else _with_self(self.node.owned(items[key]))
            for key in sorted(items)
        }

    def diff(self, old: JsonValue, new: JsonValue) -> Diff:
        if not old and not new:
            return CHANGED
        return _diff_items(self.node, self.items(old), self.items(new))


class _Several(list[Any]):
    """Elements of a list map that wrongly share their keys; they are compared as a whole."""


def _with_self(child: FieldSet) -> FieldSet:
    return child if not child or SELF in child else {SELF: LEAF, **child}


def _diff_items(node: Node, old: Mapping[str, Any], new: Mapping[str, Any]) -> Diff:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key in sorted(new if new.keys() >= old.keys() else new.keys() | old.keys()):
        before, after = old.get(key), new.get(key)
        if before is after or before == after:
            continue
        if type(before) is _Several or type(after) is _Several:
            changed[key] = LEAF
        elif key not in old:
            changed[key] = node.added(after)
        elif key not in new:
            removed[key] = node.added(before)
        else:
            more, less = node.diff(before, after)
            if more is not None:
                changed[key] = more
            if less is not None:
                removed[key] = less
    return changed or None, removed or None


def element_key(item: JsonValue, keys: Iterable[str], defaults: JsonObject) -> str:
    """``k:{"name":"x"}`` for an element of a list map, ``v:"x"`` for an element of a set."""
    if not keys or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    found = {}
    for key in sorted(keys):
        value = item.get(key, defaults.get(key))
        if value is not None or key in item:
            found[key] = value
    return "k:" + orjson.dumps(found).decode()


def key_defaults(field: Field) -> JsonObject:
    """What the keys of a list map are in an element that lacks them: the protocol of ports has a
    default, required keys have the zero value of their type."""
    assert field.items is not None  # noqa: S101 - a fact of the schemas
    found: JsonObject = {}
    for key in field.list_map_keys:
        inner = field.items.properties.get(key)
        if key == "protocol":
            found[key] = "TCP"
        elif inner is not None and inner.required and inner.type in _ZEROS:
            found[key] = _ZEROS[inner.type]
    return found


_ZEROS: dict[FieldType, JsonValue] = {
    FieldType.STRING: "",
    FieldType.INT32: 0,
    FieldType.INT64: 0,
    FieldType.NUMBER: 0,
    FieldType.BOOL: False,
}


@cache
def struct(definition_key: str) -> Struct:
    """The compiled struct with this definition key."""
    return Struct(by_key(definition_key))


def node_of(field: Field) -> Node:
    """How a field is owned."""
    if field.map_type == "atomic":
        return ATOM
    if field.type is FieldType.OBJECT:
        return struct(field.definition_key)
    if field.type is FieldType.MAP and field.additional is not None:
        return Granular(node_of(field.additional))
    if field.type is FieldType.LIST and field.items is not None:
        if field.list_type == "map":
            return Keyed(node_of(field.items), field.list_map_keys, key_defaults(field))
        if field.list_type == "set":
            return Keyed(ATOM, (), {})
    return ATOM
