"""The order of merged lists in strategic merge patches."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonValue

Key = TypeVar("Key")


def unique(items: list[JsonValue]) -> list[JsonValue]:
    """The items without later duplicates."""
    return list({identity(item, ""): item for item in items}.values())


def arrange(
    merged: list[JsonValue], order: list[JsonValue], server: list[JsonValue], merge_key: str
) -> list[JsonValue]:
    """`merged` with the items named in `order` in that order, the others as in `server`.

    The two sequences are merged so that an item that only the server has comes before an ordered
    one only where the server had it there.
    """
    wanted = _positions(order, merge_key)
    named: list[tuple[object, JsonValue]] = []
    others: list[tuple[object, JsonValue]] = []
    for item in merged:
        key = identity(item, merge_key)
        (named if key in wanted else others).append((key, item))
    named.sort(key=lambda pair: wanted[pair[0]])
    if not others:
        return [item for _, item in named]
    had = _positions(server, merge_key)
    others.sort(key=lambda pair: had.get(pair[0], len(had)))
    return interleaved(named, others, had)


def interleaved(
    named: Sequence[tuple[Key, JsonValue]],
    others: Sequence[tuple[Key, JsonValue]],
    had: Mapping[Key, int],
) -> list[JsonValue]:
    """Ordered items and those that only the server has (by identity), the latter in the order in
    which it `had` them."""
    out: list[JsonValue] = []
    i = 0
    for key, item in named:
        position = had.get(key)
        while i < len(others) and position is not None:
            other = had.get(others[i][0])
            if other is None or other >= position:
                break
            out.append(others[i][1])
            i += 1
        out.append(item)
    out.extend(item for _, item in others[i:])
    return out


def check_contains(order: list[JsonValue], patch: list[JsonValue], merge_key: str) -> None:
    """BadRequest unless every element of `patch` that stays is named in `order`, in that order."""
    wanted = _positions(order, merge_key)
    last = -1
    for element in patch:
        if isinstance(element, dict) and "$patch" in element:
            continue
        position = wanted.get(identity(element, merge_key), -1)
        if position <= last:
            raise BadRequest(
                f"The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n"
                f"{order}\n"
            )
        last = position


def _positions(items: list[JsonValue], merge_key: str) -> dict[object, int]:
    out: dict[object, int] = {}
    for index, item in enumerate(items):
        out.setdefault(identity(item, merge_key), index)
    return out


def identity(item: JsonValue, merge_key: str) -> object:
    """A hashable identity: the merge key's value, or the item itself for primitive lists."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    kind = value.__class__
    if kind is str:
        return value
    if kind is dict or kind is list:
        return (kind, json.dumps(value, sort_keys=True))
    return (kind is bool, value)
