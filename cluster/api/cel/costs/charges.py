"""What calls cost when they are evaluated, by the sizes of their arguments and of what they give.

Source: k8s.io/apiserver/pkg/cel/library/cost.go (CallCost), github.com/google/cel-go/interpreter
(runtimecost.go) and ext (lists.go, sets.go). A call that is not here costs 1.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from kubeherd.cluster.api.cel.checker.types import CIDR, FORMAT, IP, QUANTITY, SEMVER, URL
from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.cel.interpreter.datatypes import Opaque, size

TRAVERSAL: Final = 0.1
"""A character or an element that is looked at."""
PATTERN: Final = 0.25
"""A character of a regular expression, for each character it is held against."""
NEW_LIST: Final = 10
NEW_MAP: Final = 30
NEW_OBJECT: Final = 40

Charge: TypeAlias = Callable[[Sequence[Any], Any], int]


def _traversed(count: float) -> int:
    return math.ceil(count * TRAVERSAL)


def _first(factor: float = 1.0) -> Charge:
    return lambda values, _: _traversed(size(values[0]) * factor)


def _matched(values: Sequence[Any], _: Any) -> int:
    return _traversed(1 + size(values[0])) * math.ceil(size(values[1]) * PATTERN)


def _contained(values: Sequence[Any], _: Any) -> int:
    return _traversed(size(values[0])) * _traversed(size(values[1]))


def _compared(values: Sequence[Any], _: Any) -> int:
    left, right = values
    return _traversed(min(size(left), size(right)))


_PLAIN = (IP, CIDR, FORMAT, URL, SEMVER, QUANTITY)


def _equal(values: Sequence[Any], result: Any) -> int:
    if isinstance(values[0], Opaque) and values[0].type in _PLAIN:
        return 1
    return _compared(values, result)


def _added(values: Sequence[Any], _: Any) -> int:
    return _traversed(size(values[0]) + size(values[1]))


def _walked(value: Any) -> int:
    if isinstance(value, str | bytes):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list):
        take(4 * len(value))
        costs = {id(one): _walked(one) for one in {id(one): one for one in value}.values()}
        return sum(costs[id(one)] for one in value)
    if isinstance(value, dict):
        take(8 * len(value))
        return sum(_walked(key) + _walked(one) for key, one in value.items())
    return 1


def _list_made(factor: float, count: int) -> int:
    return int(count * factor) + 1 + NEW_LIST


def _self_compared(at: int) -> Charge:
    def charge(values: Sequence[Any], _: Any) -> int:
        list_ = values[at]
        text = bool(list_) and isinstance(list_[0], str | bytes)
        return _list_made(2 + TRAVERSAL * text, len(list_) ** 2)

    return charge


def _flattened(values: Sequence[Any], _: Any) -> int:
    depth = float(values[1]) if len(values) == 2 else 1.0
    return _list_made(depth, size(values[0]))


def _sets(factor: int) -> Charge:
    return lambda values, _: 1 + size(values[0]) * size(values[1]) * factor


def _contains_ip(values: Sequence[Any], _: Any) -> int:
    cost = _traversed(2 * size(values[0]))
    return cost + (_traversed(size(values[1])) if isinstance(values[1], str) else 0)


def _contains_cidr(values: Sequence[Any], result: Any) -> int:
    return _contains_ip(values, result) + _traversed(size(values[0])) + 1


def _validated(values: Sequence[Any], _: Any) -> int:
    pattern: int = values[0].value.size
    return _traversed(1 + size(values[1])) * math.ceil(pattern * PATTERN)


def _made(values: Sequence[Any], result: Any) -> int:
    return _list_made(1, size(result))


_OF_FUNCTIONS: dict[str, Charge] = {
    **dict.fromkeys(
        ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"),
        lambda values, _: _walked(values[0]),
    ),
    **dict.fromkeys(
        (
            "url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr",
            "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver",
        ),
        _first(),
    ),
    "replace": _first(2),
    "split": _first(2),
    "ip.isCanonical": _first(2),
    "join": lambda _, result: _traversed(size(result) * 2),
    "find": _matched,
    "findAll": _matched,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validated,
    "_==_": _equal,
    "_!=_": _compared,
    "check": lambda *_: 350_000,
}  # fmt: skip
_OF_OVERLOADS: dict[str, Charge] = {
    **dict.fromkeys(
        (
            "starts_with_string", "ends_with_string", "string_to_bytes", "bytes_to_string",
            "strings_quote", "string_format", "string_to_ip",
        ),
        _first(),
    ),
    "in_list": lambda values, _: size(values[1]),
    **dict.fromkeys(
        (
            f"{order}_{kind}"
            for order in ("less", "less_equals", "greater", "greater_equals")
            for kind in ("string", "bytes")
        ),
        _compared,
    ),
    "add_string": _added,
    "add_bytes": _added,
    "matches": _matched,
    "matches_string": _matched,
    "contains_string": _contained,
    "list_slice": _made,
    "lists_range": _made,
    "list_reverse": _made,
    "list_flatten": _flattened,
    "list_flatten_int": _flattened,
    "list_distinct": _self_compared(0),
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
}  # fmt: skip


def of(function: str, overload: str) -> Charge | None:
    """What a call costs; None if it costs 1."""
    if overload.startswith("list_") and overload.endswith("_sort"):
        return _self_compared(0)
    if overload.endswith("_sortByAssociatedKeys"):
        return _self_compared(1)
    return _OF_OVERLOADS.get(overload) or _OF_FUNCTIONS.get(function)
