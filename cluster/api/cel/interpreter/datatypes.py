"""Values while an expression is evaluated: Python's own, and what Python has no type for.

Null, bool, int, float, str, bytes, list and dict stand for themselves. Equality and order are those
of CEL: numbers of different types compare by what they are worth, a bool is no number.
Source: github.com/google/cel-go/common/types; for lists that are sets or maps
k8s.io/apiserver/pkg/cel/common (valuesunstructured.go).
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.cel.checker import types
from kubeherd.cluster.api.cel.checker.types import Type
from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.quantity import Quantity

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Failure(Exception):
    """An error of CEL: a value that ``&&`` and ``||`` can do without."""


NO_OVERLOAD: Final = "no such overload"
MAX_SIZE: Final = 2_000_000
"""Characters or elements of the largest value that a function makes: what it costs is known only
afterwards, when it would have taken the memory."""


def bounded(count: int) -> None:
    """Failure if a value would get larger than `MAX_SIZE`."""
    if count > MAX_SIZE:
        raise Failure(f"kubeherd makes values of at most {MAX_SIZE} characters or elements")


class UInt(int):
    """An unsigned number of 64 bits."""


class Timestamp(msgspec.Struct, frozen=True):
    """A moment, in nanoseconds since 1970; `offset_s` is the zone that it is written in."""

    nanos: int
    offset_s: int = 0


class Duration(msgspec.Struct, frozen=True):
    """A length of time in nanoseconds."""

    nanos: int


PLAIN: Final = frozenset({str, int, bool, float, bytes, UInt, Duration, type(None)})
"""Values that have nothing in them; two of one type are compared as Python does."""


class Optional(msgspec.Struct, frozen=True):
    """A value that may be missing."""

    value: Any = None
    present: bool = True

    def get(self) -> Any:
        """The value; a Failure if there is none."""
        if not self.present:
            raise Failure("optional.none() dereference")
        return self.value


NONE: Final = Optional(present=False)


class Opaque(msgspec.Struct, frozen=True):
    """A value of a library: what type it is of, and what the library makes of it."""

    type: Type
    value: Any


class ObjectValue(dict[Any, Any]):
    """An object that an expression has made, with the type that it named."""

    __slots__ = ("type",)

    def __init__(self, type_: Type, fields: dict[Any, Any]) -> None:
        super().__init__(fields)
        self.type = type_


class SetList(list[Any]):
    """A list whose order does not count (``x-kubernetes-list-type: set``)."""


class MapList(list[Any]):
    """A list whose elements are known by `keys` (``x-kubernetes-list-type: map``)."""

    keys: tuple[str, ...] = ()

    def key(self, element: Any) -> str:
        """What identifies an element."""
        if not isinstance(element, dict):
            return repr(element)
        return repr([element.get(name) for name in self.keys])


class Growing(list[Any]):
    """The list that a loop makes; adding to it changes it."""


class GrowingMap(dict[Any, Any]):
    """The map that a loop makes; adding to it changes it."""


_TYPES: dict[type, Type] = {
    type(None): types.NULL,
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    Timestamp: types.TIMESTAMP,
    Duration: types.DURATION,
    Optional: types.OPTIONAL,
    Quantity: types.QUANTITY,
    Type: types.TYPE,
    list: types.LIST,
    SetList: types.LIST,
    MapList: types.LIST,
    Growing: types.LIST,
    dict: types.MAP,
    GrowingMap: types.MAP,
}


def type_of(value: Any) -> Type:
    """The type of a value, without those of what is in it."""
    found = _TYPES.get(type(value))
    if found is not None:
        return found
    return value.type if isinstance(value, Opaque | ObjectValue) else types.DYN


def is_number(value: Any) -> bool:
    """Whether a value is an int, a uint or a double."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARED = 6
"""Steps (`cel.effort`) of comparing two lists or maps, beside those of what is in them."""


def equal(left: Any, right: Any) -> bool:
    """``==``."""
    kind = type(left)
    if kind is type(right) and kind in PLAIN:
        return bool(left == right)
    if left is right and isinstance(left, list | dict):
        return True
    if isinstance(left, list) and isinstance(right, list):
        return _equal_lists(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        take(_COMPARED + 2 * len(left))
        return len(left) == len(right) and all(
            key in right and equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.present == right.present and equal(left.value, right.value)
    if isinstance(left, Type) and isinstance(right, Type):
        return left.kind is right.kind and left.name == right.name
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        return left.nanos == right.nanos
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if is_number(left) and is_number(right):
        return bool(left == right)
    return kind is type(right) and bool(left == right)


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    take(_COMPARED + 2 * len(left))
    if isinstance(left, MapList):
        return _equal_by_key(left, right)
    if isinstance(right, MapList):
        return _equal_by_key(right, left)
    if isinstance(left, SetList) or isinstance(right, SetList):
        return all(contains(right, one) for one in left)
    return all(map(_remembering(), left, right))


def _remembering() -> Callable[[Any, Any], bool]:
    """`equal` for the elements of two lists: the same two values are compared once, for a rule can
    make a list of a list of a list whose elements are all the same one."""
    found: dict[tuple[int, int], bool] = {}

    def compare_once(left: Any, right: Any) -> bool:
        if not isinstance(left, list | dict):
            return equal(left, right)
        key = id(left), id(right)
        if key not in found:
            found[key] = equal(left, right)
        return found[key]

    return compare_once


def _equal_by_key(left: MapList, right: list[Any]) -> bool:
    others = {left.key(one): one for one in right}
    return all((key := left.key(one)) in others and equal(one, others[key]) for one in left)


def contains(values: list[Any], item: Any) -> bool:
    """``item in values``."""
    take(len(values))
    return any(equal(item, one) for one in values)


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1; Failure where the two have no order."""
    if isinstance(left, bool) or isinstance(right, bool):
        comparable = isinstance(left, bool) and isinstance(right, bool)
    elif is_number(left):
        comparable = is_number(right)
        if left != left or right != right:
            raise Failure("NaN values cannot be ordered")
    else:
        comparable = type(left) is type(right) and isinstance(left, _ORDERED)
    if not comparable:
        raise Failure(NO_OVERLOAD)
    if isinstance(left, Timestamp | Duration):
        left, right = left.nanos, right.nanos
    return int(left > right) - int(left < right)


_ORDERED = (str, bytes, Timestamp, Duration)


def size(value: Any) -> int:
    """How much a value counts in costs: its length, else 1."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size(value.value)
    if isinstance(value, Opaque) and value.type in _ADDRESSES:
        return _address_size(value)
    return 1


_ADDRESSES = (types.IP, types.CIDR)


def _address_size(value: Opaque) -> int:
    """Bytes of an address, or of the part of it that a prefix fixes."""
    inner = value.value
    bits = inner.network.prefixlen if value.type is types.CIDR else inner.max_prefixlen
    return int(-(-bits // 8))


def is_zero(value: Any) -> bool:
    """Whether a value is what its type has by default."""
    if isinstance(value, Optional):
        return not value.present
    if isinstance(value, Timestamp):
        return value.nanos == _YEAR_ONE
    if isinstance(value, Duration):
        return value.nanos == 0
    return value is None or (
        isinstance(value, bool | int | float | str | bytes | list | dict) and not value
    )


_YEAR_ONE = -62135596800 * 10**9


def in_range(number: int, kind: str = "integer") -> int:
    """A number that fits into 64 bits; Failure if it does not."""
    if not INT_MIN <= number <= INT_MAX:
        raise Failure(f"{kind} overflow")
    return number


def in_uint_range(number: int) -> UInt:
    """An unsigned number that fits into 64 bits; Failure if it does not."""
    if not 0 <= number <= UINT_MAX:
        raise Failure("unsigned integer overflow")
    return UInt(number)
