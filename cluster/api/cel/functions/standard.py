"""The operators, conversions and functions of CEL itself.

Source: github.com/google/cel-go/common/stdlib (standard.go) and common/types. The overloads' ids
are those of common/overloads.
"""

import math
from collections.abc import Callable
from typing import Any

from kubeherd.cluster.api.cel.checker import types
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
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    parameter,
)
from kubeherd.cluster.api.cel.effort import REFUSED_PATTERN, take
from kubeherd.cluster.api.cel.functions import conversions, times
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    NO_OVERLOAD,
    Duration,
    Failure,
    Growing,
    MapList,
    SetList,
    Timestamp,
    UInt,
    bounded,
    compare,
    contains,
    equal,
    in_range,
    in_uint_range,
    is_number,
    type_of,
)
from kubeherd.cluster.api.customresources import patterns

A, B = parameter("A"), parameter("B")
_LIST, _MAP = list_of(A), map_of(A, B)
_SOME_A, _SOME_B = optional_of(A), optional_of(B)
_SOME_LIST, _SOME_MAP = optional_of(_LIST), optional_of(_MAP)
_NUMBERS = {"int64": INT, "uint64": UINT, "double": DOUBLE}


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Timestamp | Duration) and isinstance(right, Timestamp | Duration):
        return _add_times(left, right)
    if type(left) is type(right):
        if isinstance(left, int) and not isinstance(left, bool):
            total = int(left) + int(right)
            return in_uint_range(total) if isinstance(left, UInt) else in_range(total)
        if isinstance(left, str | bytes):
            bounded(len(left) + len(right))
            return left + right
        if isinstance(left, float):
            return left + right
    if isinstance(left, list) and isinstance(right, list):
        return _concatenated(left, right)
    raise Failure(NO_OVERLOAD)


def _add_times(left: Timestamp | Duration, right: Timestamp | Duration) -> Timestamp | Duration:
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        raise Failure(NO_OVERLOAD)
    if isinstance(left, Timestamp):
        return times.shifted(left, right.nanos)
    if isinstance(right, Timestamp):
        return times.shifted(right, left.nanos)
    return Duration(in_range(left.nanos + right.nanos, "duration"))


def _concatenated(left: list[Any], right: list[Any]) -> list[Any]:
    """``+`` of lists: of sets what is new is added, of maps what has the same key is replaced."""
    bounded(len(left) + len(right))
    if type(left) is Growing:
        left.extend(right)
        return left
    take((len(left) + len(right)) // 8)
    if isinstance(left, MapList):
        merged = MapList(left)
        merged.keys = left.keys
        places = {merged.key(one): at for at, one in enumerate(merged)}
        for one in right:
            key = merged.key(one)
            if key in places:
                merged[places[key]] = one
            else:
                places[key] = len(merged)
                merged.append(one)
        return merged
    if isinstance(left, SetList):
        return SetList([*left, *(one for one in right if not contains(left, one))])
    return [*left, *right]


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        return Duration(in_range(left.nanos - right.nanos, "duration"))
    if isinstance(left, Timestamp) and isinstance(right, Duration):
        return times.shifted(left, -right.nanos)
    if isinstance(left, Duration) and isinstance(right, Duration):
        return Duration(in_range(left.nanos - right.nanos, "duration"))
    return _arithmetic(left, right, lambda a, b: a - b)


def _arithmetic(left: Any, right: Any, operate: Callable[[Any, Any], Any]) -> Any:
    if type(left) is not type(right) or not is_number(left):
        raise Failure(NO_OVERLOAD)
    if isinstance(left, UInt):
        return in_uint_range(operate(int(left), int(right)))
    if isinstance(left, int):
        return in_range(operate(left, right))
    return operate(left, right)


def _multiply(left: Any, right: Any) -> Any:
    return _arithmetic(left, right, lambda a, b: a * b)


def _divide(left: Any, right: Any) -> Any:
    return _arithmetic(left, right, _quotient)


def _quotient(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        if right:
            return left / right
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    if right == 0:
        raise Failure("division by zero")
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        raise Failure(NO_OVERLOAD)
    if right == 0 and type(left) is type(right):
        raise Failure("modulus by zero")
    return _arithmetic(left, right, lambda a, b: a - b * _quotient(a, b))


def _negate(value: Any) -> Any:
    if isinstance(value, UInt) or not is_number(value):
        raise Failure(NO_OVERLOAD)
    return in_range(-value) if isinstance(value, int) else -value


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Failure(NO_OVERLOAD)
    return not value


def _in(item: Any, container: Any) -> bool:
    if isinstance(container, dict):
        return _is_key(item, container)
    if isinstance(container, list):
        return contains(container, item)
    raise Failure(NO_OVERLOAD)


def _is_key(key: Any, container: dict[Any, Any]) -> bool:
    return isinstance(key, str | int | float) and key in container


def _orders(sign: str, wanted: Callable[[int], bool]) -> tuple[Overload, ...]:
    def run(left: Any, right: Any) -> bool:
        return wanted(compare(left, right))

    found = [function(f"{sign}_bool", BOOL, run, BOOL, BOOL)]
    for name, type_ in _NUMBERS.items():
        found.append(function(f"{sign}_{name}", BOOL, run, type_, type_))
        for other, other_type in _NUMBERS.items():
            if other != name:
                found.append(function(f"{sign}_{name}_{other}", BOOL, run, type_, other_type))
    for name, type_ in _OTHER_ORDERED.items():
        found.append(function(f"{sign}_{name}", BOOL, run, type_, type_))
    return tuple(found)


_OTHER_ORDERED = {"string": STRING, "bytes": BYTES, "timestamp": TIMESTAMP, "duration": DURATION}


def _sums(name: str, run: Callable[[Any, Any], Any], of: dict[str, Type]) -> list[Overload]:
    return [function(f"{name}_{text}", one, run, one, one) for text, one in of.items()]


def _matches(text: str, pattern: str) -> bool:
    try:
        return patterns.matches(pattern, text)
    except patterns.NoPattern as error:
        take(REFUSED_PATTERN)
        raise Failure(str(error)) from None


def _never(*_: Any) -> Any:  # what the interpreter does itself
    raise Failure(NO_OVERLOAD)


_OPERATORS: Functions = {
    "_?_:_": (function("conditional", A, _never, BOOL, A, A),),
    "_&&_": (function("logical_and", BOOL, _never, BOOL, BOOL),),
    "_||_": (function("logical_or", BOOL, _never, BOOL, BOOL),),
    "!_": (function("logical_not", BOOL, _not, BOOL),),
    "@not_strictly_false": (function("not_strictly_false", BOOL, _never, BOOL),),
    "_==_": (function("equals", BOOL, equal, A, A),),
    "_!=_": (function("not_equals", BOOL, lambda a, b: not equal(a, b), A, A),),
    "_<_": _orders("less", lambda order: order < 0),
    "_<=_": _orders("less_equals", lambda order: order <= 0),
    "_>_": _orders("greater", lambda order: order > 0),
    "_>=_": _orders("greater_equals", lambda order: order >= 0),
    "_+_": (
        function("add_bytes", BYTES, _add, BYTES, BYTES),
        function("add_double", DOUBLE, _add, DOUBLE, DOUBLE),
        function("add_duration_duration", DURATION, _add, DURATION, DURATION),
        function("add_duration_timestamp", TIMESTAMP, _add, DURATION, TIMESTAMP),
        function("add_timestamp_duration", TIMESTAMP, _add, TIMESTAMP, DURATION),
        function("add_int64", INT, _add, INT, INT),
        function("add_list", _LIST, _add, _LIST, _LIST),
        function("add_string", STRING, _add, STRING, STRING),
        function("add_uint64", UINT, _add, UINT, UINT),
    ),
    "_-_": (
        function("subtract_double", DOUBLE, _subtract, DOUBLE, DOUBLE),
        function("subtract_duration_duration", DURATION, _subtract, DURATION, DURATION),
        function("subtract_int64", INT, _subtract, INT, INT),
        function("subtract_timestamp_duration", TIMESTAMP, _subtract, TIMESTAMP, DURATION),
        function("subtract_timestamp_timestamp", DURATION, _subtract, TIMESTAMP, TIMESTAMP),
        function("subtract_uint64", UINT, _subtract, UINT, UINT),
    ),
    "_*_": tuple(_sums("multiply", _multiply, _NUMBERS)),
    "_/_": tuple(_sums("divide", _divide, _NUMBERS)),
    "_%_": tuple(_sums("modulo", _modulo, {"int64": INT, "uint64": UINT})),
    "-_": (
        function("negate_double", DOUBLE, _negate, DOUBLE),
        function("negate_int64", INT, _negate, INT),
    ),
    "@in": (
        function("in_list", BOOL, _in, A, _LIST),
        function("in_map", BOOL, _in, A, map_of(A, B)),
    ),
    "_[_]": (
        function("index_list", A, _never, _LIST, INT),
        function("index_map", B, _never, _MAP, A),
        function("optional_list_index_int", _SOME_A, _never, _SOME_LIST, INT),
        function("optional_map_index_value", _SOME_B, _never, _SOME_MAP, A),
    ),
    "_[?_]": (
        function("list_optindex_optional_int", _SOME_A, _never, _LIST, INT),
        function("optional_list_optindex_optional_int", _SOME_A, _never, _SOME_LIST, INT),
        function("map_optindex_optional_value", _SOME_B, _never, _MAP, A),
        function("optional_map_optindex_optional_value", _SOME_B, _never, _SOME_MAP, A),
    ),
}  # fmt: skip


def _sizes() -> tuple[Overload, ...]:
    found = []
    for name, type_ in {"bytes": BYTES, "list": _LIST, "map": _MAP, "string": STRING}.items():
        found.append(function(f"size_{name}", INT, len, type_))
        found.append(member(f"{name}_size", INT, len, type_))
    return tuple(found)


def _dates(name: str, read: Callable[[Any], int], of_duration: int = 0) -> tuple[Overload, ...]:
    run = times.part(read)
    found = [
        member(f"timestamp_to_{name}", INT, run, TIMESTAMP),
        member(f"timestamp_to_{name}_with_tz", INT, run, TIMESTAMP, STRING),
    ]
    if of_duration:

        def count(length: Duration) -> int:
            whole = abs(length.nanos) // of_duration
            return -whole if length.nanos < 0 else whole

        found.append(member(f"duration_to_{name}", INT, count, DURATION))
    return tuple(found)


_SECOND = 10**9
_FUNCTIONS: Functions = {
    "size": _sizes(),
    "type": (function("type", types.type_of(A), type_of, A),),
    "contains": (member("contains_string", BOOL, lambda a, b: b in a, STRING, STRING),),
    "startsWith": (member("starts_with_string", BOOL, str.startswith, STRING, STRING),),
    "endsWith": (member("ends_with_string", BOOL, str.endswith, STRING, STRING),),
    "matches": (
        function("matches", BOOL, _matches, STRING, STRING),
        member("matches_string", BOOL, _matches, STRING, STRING),
    ),
    "getFullYear": _dates("year", lambda day: int(day.year)),
    "getMonth": _dates("month", lambda day: day.month - 1),
    "getDayOfYear": _dates("day_of_year", lambda day: day.timetuple().tm_yday - 1),
    "getDayOfMonth": _dates("day_of_month", lambda day: day.day - 1),
    "getDate": _dates("day_of_month_1_based", lambda day: int(day.day)),
    "getDayOfWeek": _dates("day_of_week", lambda day: day.isoweekday() % 7),
    "getHours": _dates("hours", lambda day: int(day.hour), 3600 * _SECOND),
    "getMinutes": _dates("minutes", lambda day: int(day.minute), 60 * _SECOND),
    "getSeconds": _dates("seconds", lambda day: int(day.second), _SECOND),
    "getMilliseconds": _dates("milliseconds", lambda day: day.microsecond // 1000, 10**6),
}

LIBRARY: Functions = {**_OPERATORS, **_FUNCTIONS, **conversions.LIBRARY}
