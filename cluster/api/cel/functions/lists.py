"""Functions of lists: Kubernetes' own, cel-go's extension of version 3, and sets.

Source: k8s.io/apiserver/pkg/cel/library/lists.go, github.com/google/cel-go/ext (lists.go, sets.go,
comprehensions.go).
"""

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from kubeherd.cluster.api.cel.checker.declarations import (
    Functions,
    Overload,
    function,
    member,
)
from kubeherd.cluster.api.cel.checker.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    parameter,
)
from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.cel.functions import standard
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    NO_OVERLOAD,
    Duration,
    Failure,
    GrowingMap,
    UInt,
    bounded,
    compare,
    contains,
    equal,
    type_of,
)

_SUMMABLE: dict[str, tuple[Type, Any]] = {
    "int": (INT, 0),
    "uint": (UINT, UInt(0)),
    "double": (DOUBLE, 0.0),
    "duration": (DURATION, Duration(0)),
}
_COMPARABLE = {
    "int": INT, "uint": UINT, "double": DOUBLE, "bool": BOOL, "duration": DURATION,
    "timestamp": TIMESTAMP, "string": STRING, "bytes": BYTES,
}  # fmt: skip
_T, _K, _V = parameter("T"), parameter("K"), parameter("V")
_LIST, _MAP = list_of(_T), map_of(_K, _V)
_ORDERED = 6
"""Steps (`cel.effort`) of comparing or adding two elements."""
MAX_RANGE = 1_000_000
"""`lists.range` makes no more, whatever its cost would allow."""


def _is_sorted(values: list[Any]) -> bool:
    take(_ORDERED * len(values))
    return all(compare(left, right) <= 0 for left, right in pairwise(values))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    add = standard.LIBRARY["_+_"][0].run

    def run(values: list[Any]) -> Any:
        take(_ORDERED * len(values))
        total = zero
        for one in values:
            total = add(total, one)
        return total

    return run


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def run(values: list[Any]) -> Any:
        if not values:
            raise Failure(f"{name} called on empty list")
        take(_ORDERED * len(values))
        found = values[0]
        for one in values[1:]:
            if compare(found, one) == sign:
                found = one
        return found

    return run


def _index_of(values: list[Any], item: Any) -> int:
    take(4 * len(values))
    return next((at for at, one in enumerate(values) if equal(one, item)), -1)


def _last_index_of(values: list[Any], item: Any) -> int:
    found = _index_of(values[::-1], item)
    return -1 if found < 0 else len(values) - 1 - found


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    problem = ""
    if start < 0 or end < 0:
        problem = "negative indexes not supported"
    elif start > end:
        problem = "start index must be less than or equal to end index"
    elif len(values) < end:
        problem = f"list is length {len(values)}"
    if problem:
        raise Failure(f"cannot slice({start}, {end}), {problem}")
    return values[start:end]


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if not isinstance(values, list):
        raise Failure(NO_OVERLOAD)
    take(4 * len(values))
    if depth < 0:
        raise Failure("level must be non-negative")
    made: list[Any] = []
    for one in values:
        if isinstance(one, list) and depth:
            inner = _flatten(one, depth - 1)
            bounded(len(made) + len(inner))
            made.extend(inner)
        else:
            made.append(one)
    return made


def _sort_by(values: list[Any], keys: list[Any]) -> list[Any]:
    if len(values) != len(keys):
        raise Failure(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
            f"but got {len(values)} and {len(keys)} elements respectively"
        )
    if len({type_of(key) for key in keys}) > 1:
        raise Failure("list elements must have the same type")
    take(_ORDERED * len(values) * len(values).bit_length())
    order = cmp_to_key(compare)
    places = sorted(range(len(values)), key=lambda at: order(keys[at]))
    return [values[at] for at in places]


def _range(count: int) -> list[int]:
    if count > MAX_RANGE:
        raise Failure(f"kubeherd makes ranges of at most {MAX_RANGE} numbers")
    take(max(count, 0))
    return list(range(count))


def _distinct(values: list[Any]) -> list[Any]:
    made: list[Any] = []
    for one in values:
        if not contains(made, one):
            made.append(one)
    return made


def _insert(made: dict[Any, Any], *entry: Any) -> dict[Any, Any]:
    """``cel.@mapInsert``: a key and a value, or the entries of a map."""
    result = made if isinstance(made, GrowingMap) else GrowingMap(made)
    for key, value in entry[0].items() if len(entry) == 1 else [entry]:
        if key in result:
            raise Failure(f"insert failed: key {key} already exists")
        result[key] = value
    return result


def _contains(values: list[Any], wanted: list[Any]) -> bool:
    return all(contains(values, one) for one in wanted)


def _comparable(make: Callable[[str, Type], Overload]) -> tuple[Overload, ...]:
    return tuple(make(name, type_) for name, type_ in _COMPARABLE.items())


LIBRARY: Functions = {
    "isSorted": _comparable(
        lambda name, of: member(f"list_{name}_is_sorted_bool", BOOL, _is_sorted, list_of(of))
    ),
    "sum": tuple(
        member(f"list_{name}_sum_{name}", of, _sum(zero), list_of(of))
        for name, (of, zero) in _SUMMABLE.items()
    ),
    "max": _comparable(
        lambda name, of: member(f"list_{name}_max_{name}", of, _extreme("max", -1), list_of(of))
    ),
    "min": _comparable(
        lambda name, of: member(f"list_{name}_min_{name}", of, _extreme("min", 1), list_of(of))
    ),
    "indexOf": (member("list_a_index_of_int", INT, _index_of, _LIST, _T),),
    "lastIndexOf": (member("list_a_last_index_of_int", INT, _last_index_of, _LIST, _T),),
    "slice": (member("list_slice", _LIST, _slice, _LIST, INT, INT),),
    "flatten": (
        Overload("list_flatten", (list_of(_LIST),), _LIST, _flatten, member=True, guarded=False),
        member("list_flatten_int", list_of(DYN), _flatten, list_of(DYN), INT),
    ),
    "sort": _comparable(
        lambda name, of: member(
            f"list_{name}_sort", list_of(of), lambda values: _sort_by(values, values), list_of(of)
        )
    ),
    "@sortByAssociatedKeys": _comparable(
        lambda name, of: member(
            f"list_{name}_sortByAssociatedKeys", _LIST, _sort_by, _LIST, list_of(of)
        )
    ),
    "lists.range": (function("lists_range", list_of(INT), _range, INT),),
    "reverse": (member("list_reverse", _LIST, lambda values: values[::-1], _LIST),),
    "distinct": (member("list_distinct", _LIST, _distinct, _LIST),),
    "cel.@mapInsert": (
        function("@mapInsert_map_key_value", _MAP, _insert, _MAP, _K, _V),
        function("@mapInsert_map_map", _MAP, _insert, _MAP, _MAP),
    ),
    "sets.contains": (function("list_sets_contains_list", BOOL, _contains, _LIST, _LIST),),
    "sets.equivalent": (
        function(
            "list_sets_equivalent_list",
            BOOL,
            lambda a, b: _contains(a, b) and _contains(b, a),
            _LIST,
            _LIST,
        ),
    ),
    "sets.intersects": (
        function(
            "list_sets_intersects_list",
            BOOL,
            lambda a, b: any(contains(b, one) for one in a),
            _LIST,
            _LIST,
        ),
    ),
}
