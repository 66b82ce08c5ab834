"""Sets of fields in the form in which managedFields store them (spec api-machinery, 11).

A field set is a FieldsV1 tree: ``f:<name>``, ``k:{"<key>":...}``, ``v:<value>`` and ``i:<index>``
lead to children; a child is in the set if it is empty or contains ``.``. Keeping that form means
that sets need no decoding and no encoding. Invariants: sets are never modified once made, so they
may share parts; no child is a non-member without members below it; keys made here are sorted.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue

FieldSet = JsonObject

SELF: Final = "."
LEAF: Final[FieldSet] = {}
"""A child that is in the set and has no children; shared, never to be modified."""


def is_member(child: FieldSet) -> bool:
    """Whether the field that leads to `child` is itself in the set."""
    return not child or SELF in child


def _node(member: bool, children: Mapping[str, FieldSet]) -> FieldSet | None:
    """A child from its parts; None if nothing is in it."""
    if not children:
        return LEAF if member else None
    out: FieldSet = {SELF: LEAF} if member else {}
    for key in sorted(children):
        out[key] = children[key]
    return out


def _children(node: FieldSet) -> dict[str, FieldSet]:
    return {key: child for key, child in node.items() if key != SELF}


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The fields that are in either set."""
    if not left:
        return right
    if not right:
        return left
    return _union_children(left, right)


def _union_children(left: FieldSet, right: FieldSet) -> FieldSet:
    if right is left:
        return left
    out = dict(left)
    for key, child in right.items():
        mine = out.get(key)
        out[key] = child if mine is None else _union_nodes(mine, child)
    return out if len(out) == len(left) else {key: out[key] for key in sorted(out)}


def _union_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left or not right:
        other = left or right
        if not other or SELF in other:
            return other
        return {SELF: LEAF, **other}
    return _union_children(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The fields of `left` that are not in `right`; `left` itself if they have none in common."""
    return _difference_root(left, right)


def _difference_root(left: FieldSet, right: FieldSet) -> FieldSet:
    out: FieldSet | None = None
    for key, child in right.items():
        mine = left.get(key)
        if mine is None or key == SELF:
            continue
        rest = _difference_nodes(mine, child)
        if rest is mine:
            continue
        if out is None:
            out = dict(left)
        if rest is None:
            del out[key]
        else:
            out[key] = rest
    return left if out is None else out


def _difference_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    rest = _difference_root(left, right)
    if SELF in rest and is_member(right):
        rest = {key: child for key, child in rest.items() if key != SELF}
        return rest or None
    if rest is left:
        return left
    if not rest:
        return None
    return LEAF if len(rest) == 1 and SELF in rest else rest


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Like `difference`, but a member of `right` also takes away everything below it."""
    out: dict[str, FieldSet] = {}
    for key, child in left.items():
        other = right.get(key)
        if other is None:
            out[key] = child
        elif key != SELF and other and SELF not in other:
            rest = recursive_difference(child, other) if child else child
            if rest or not child:
                out[key] = LEAF if rest.keys() == {SELF} else rest
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The fields that are in both sets."""
    out: dict[str, FieldSet] = {}
    for key, child in right.items():
        mine = left.get(key)
        if mine is None or key == SELF:
            continue
        both = _node(is_member(mine) and is_member(child), _children(intersection(mine, child)))
        if both is not None:
            out[key] = both
    return {key: out[key] for key in sorted(out)}


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of the set as a path of keys; members of a level come before deeper ones."""
    for key, child in fields.items():
        if key != SELF and is_member(child):
            yield (*prefix, key)
    for key, child in fields.items():
        if key != SELF and child:
            yield from paths(child, (*prefix, key))


def canonical(fields: FieldSet) -> FieldSet:
    """The same set with sorted keys and leaves written as ``{}``."""
    out: FieldSet = {}
    for key in sorted(fields):
        child = fields[key]
        if key == SELF or not child or child.keys() == {SELF}:
            out[key] = LEAF
        else:
            out[key] = canonical(child)
    return out


def is_valid(fields: JsonValue) -> bool:
    """Whether a tree that a client sent is a field set: its shape and every key."""
    if not isinstance(fields, dict):
        return False
    return all(_is_key(key) and is_valid(child) for key, child in fields.items())


def _is_key(key: str) -> bool:
    kind, colon, rest = key.partition(":")
    if key == SELF or (kind == "f" and colon):
        return True
    if not colon or kind not in ("k", "v", "i"):
        return False
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    if kind == "k":
        return isinstance(value, dict) and bool(value)
    return kind == "v" or (isinstance(value, int) and not isinstance(value, bool))
