"""Merging and pruning of trees by field ownership: the mechanics of server-side apply.

Follows structured-merge-diff: atomic values are replaced, granular maps and keyed lists merge,
removal walks along a field set. Inputs are never modified.
"""

from collections.abc import Iterator

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.managedfields import fieldsets
from kubeherd.cluster.api.managedfields.fieldsets import LEAF, SELF, FieldSet
from kubeherd.cluster.api.managedfields.fieldtypes import Granular, Keyed, Node, Struct


def child(node: Node, name: str) -> Node:
    """The node of a member of a struct or map."""
    if isinstance(node, Struct):
        return node.member(name).node
    return node.node if isinstance(node, Granular) else node


def merge(node: Node, live: JsonObject, applied: JsonObject) -> JsonObject:
    """`live` with `applied` merged in. A null in `applied` is an empty one of what merges, and
    the value of what does not: it stays, and counts as a change, until the result is decoded."""
    out = dict(live)
    for name, value in applied.items():
        inner = child(node, name)
        if value is not None:
            out[name] = _merge_value(inner, out.get(name), value)
        elif not isinstance(inner, Struct | Granular | Keyed):
            out[name] = None
    return out


def _merge_value(node: Node, live: JsonValue, applied: JsonValue) -> JsonValue:
    if isinstance(applied, dict) and isinstance(node, Struct | Granular):
        return merge(node, live if isinstance(live, dict) else {}, applied)
    if isinstance(applied, list) and isinstance(node, Keyed):
        return _merge_keyed(node, live if isinstance(live, list) else [], applied)
    return applied


def _merge_keyed(node: Keyed, live: list[JsonValue], applied: list[JsonValue]) -> list[JsonValue]:
    """The applied order rules; elements that only the live list has stay as early as they can."""
    wanted = {node.key(item): item for item in applied}
    existing = {node.key(item): item for item in live}
    shared: Iterator[str] = iter([key for key in wanted if key in existing])
    next_shared = next(shared, None)
    left = [(node.key(item), item) for item in live]
    right = list(wanted.items())
    out: list[JsonValue] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            key = left[i][0]
            if key == right[j][0]:
                out.append(_merge_value(node.node, left[i][1], right[j][1]))
                i, j, next_shared = i + 1, j + 1, next(shared, None)
                continue
            if key in wanted and next_shared is not None and next_shared != key:
                i += 1
                continue
        if i < len(left):
            key, item = left[i]
            if key not in wanted:
                out.append(item)
                i += 1
                continue
            if j >= len(right):
                i += 1
                continue
        key, item = right[j]
        out.append(_merge_value(node.node, existing[key], item) if key in existing else item)
        j += 1
        if key == next_shared:
            next_shared = next(shared, None)
    return out


def prune(node: Node, merged: JsonObject, last: FieldSet, owned: FieldSet) -> JsonObject:
    """Removes what the manager applied `last` time and nobody owns any more.

    `owned` is everything that all managers own now, including what is applied this time.
    """
    last = with_containers(node, last)
    everything = with_containers(node, node.owned(merged))
    pruned = remove(node, merged, last)
    kept = fieldsets.union(with_containers(node, node.owned(pruned)), with_containers(node, owned))
    pruned = remove(node, merged, fieldsets.difference(everything, kept))
    gone = fieldsets.difference(everything, with_containers(node, node.owned(pruned)))
    return remove(node, merged, fieldsets.intersection(gone, last))


def with_containers(node: Node, fields: FieldSet) -> FieldSet:
    """`fields`, in which also the struct fields on the way to a member are members."""
    out: FieldSet = {}
    for key, sub in fields.items():
        if key == SELF or not sub:
            out[key] = sub
            continue
        name = key[2:] if key.startswith("f:") else ""
        inner = child(node, name) if name else (node.node if isinstance(node, Keyed) else node)
        found = with_containers(inner, sub)
        if name and isinstance(node, Struct) and node.knows(name) and SELF not in found:
            found = {SELF: LEAF, **found}
        out[key] = found
    return out


def remove(node: Node, value: JsonObject, fields: FieldSet) -> JsonObject:
    """`value` without the members of `fields`.

    Containers that this empties go too, except the structs that always exist (``spec``).
    """
    if not fields:
        return value
    out: JsonObject = {}
    for name, member in value.items():
        sub = fields.get("f:" + name)
        if sub is None:
            out[name] = member
            continue
        rest: JsonValue = None
        if not fieldsets.is_member(sub):
            rest = _remove_value(child(node, name), member, sub)
        if rest or (rest is not None and not member):
            out[name] = rest
        elif isinstance(node, Struct) and node.member(name).embedded and isinstance(member, dict):
            out[name] = {}
    return out


def _remove_value(node: Node, value: JsonValue, fields: FieldSet) -> JsonValue:
    if isinstance(value, dict) and isinstance(node, Struct | Granular):
        return remove(node, value, fields)
    if not isinstance(value, list) or not isinstance(node, Keyed):
        return value
    out = []
    for item in value:
        sub = fields.get(node.key(item))
        if sub is None:
            out.append(item)
        elif not fieldsets.is_member(sub):
            rest = _remove_value(node.node, item, sub)
            if rest:
                out.append(rest)
    return out
