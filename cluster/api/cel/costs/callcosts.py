"""What calls can cost at most, by the sizes that their arguments can have.

Source: k8s.io/apiserver/pkg/cel/library/cost.go (EstimateCallCost), github.com/google/cel-go/ext
(lists.go, sets.go) and checker/cost.go (functionCost). Every figure decides which rules may be
written, so each is upstream's.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from kubeherd.cluster.api.cel.costs.charges import NEW_LIST, PATTERN, TRAVERSAL
from kubeherd.cluster.api.cel.costs.estimates import (
    LIMIT,
    ONE,
    ZERO,
    Estimate,
    Range,
    Sized,
    fixed,
)

_MAX_FORMAT, _MAX_FORMAT_PATTERN = 64, 128
_ADDRESS: Final = Range(4, 16)

Cost: TypeAlias = Callable[[Sequence[Sized], bool], Estimate | None]
"""From the operands and whether the first is a target to the estimate; None: as any other call."""


def _plain(_: Sequence[Sized], __: bool) -> Estimate:
    return Estimate(ONE)


def _list_traversed(operands: Sequence[Sized], member: bool) -> Estimate | None:
    if not member:
        return None
    target = operands[0]
    if not target.is_list:
        return Estimate(target.size.scaled(TRAVERSAL))
    each = ONE + target.elements.scaled(TRAVERSAL) if target.texts else ONE
    return Estimate(target.size * each)


def _argument(factor: float = 1.0) -> Cost:
    def cost(operands: Sequence[Sized], member: bool) -> Estimate | None:
        if member or not operands:
            return None
        return Estimate(operands[0].size.scaled(factor * TRAVERSAL))

    return cost


def _same_size(operands: Sequence[Sized], _: bool) -> Estimate:
    return Estimate(operands[0].size.scaled(TRAVERSAL), operands[0].size)


def _split(operands: Sequence[Sized], _: bool) -> Estimate:
    size = operands[0].size
    most = size.most
    if len(operands) > 2 and operands[2].constant is not None:
        most = operands[2].constant % 2**64
    return Estimate(size.scaled(2 * TRAVERSAL), Range(0, most))


def _join(operands: Sequence[Sized], _: bool) -> Estimate:
    target = operands[0]
    size = target.size * target.elements if target.is_list else ZERO
    if len(operands) > 1:
        between = Range(max(target.size.least - 1, 0), max(target.size.most - 1, 0))
        size = size + operands[1].size * between
    return Estimate(size.scaled(TRAVERSAL), size)


def _replace(operands: Sequence[Sized], _: bool) -> Estimate:
    size, old, new = (one.size for one in operands[:3])
    if old.least == 0:
        most, kept_most = min(size.most + 1, LIMIT), size.most
    elif new.most <= old.least:
        most, kept_most = 0, size.most
    else:
        most, kept_most = math.ceil(float(size.most) / old.least), 0
    if old.most == 0:
        least, kept_least = min(size.least + 1, LIMIT), size.least
    elif old.most <= new.least:
        least, kept_least = 0, size.least
    else:
        least, kept_least = math.ceil(float(size.least) / old.most), 0
    made = Range(least, min(most, LIMIT)) * new + Range(kept_least, kept_most)
    return Estimate(size.scaled(2 * TRAVERSAL), made)


def _found(operands: Sequence[Sized], _: bool) -> Estimate:
    text, pattern = operands[0].size, operands[1].size
    cost = (text + ONE).scaled(TRAVERSAL) * pattern.scaled(PATTERN)
    return Estimate(cost, Range(0, text.most))


def _contains_ip(operands: Sequence[Sized], _: bool) -> Estimate:
    cost = (_ADDRESS + _ADDRESS).scaled(TRAVERSAL)
    if not operands[1].type_name:
        cost = cost + operands[1].size.scaled(TRAVERSAL)
    return Estimate(cost)


def _contains_cidr(operands: Sequence[Sized], member: bool) -> Estimate:
    return Estimate(_contains_ip(operands, member).cost + _ADDRESS.scaled(TRAVERSAL) + ONE)


def _validated(operands: Sequence[Sized], _: bool) -> Estimate:
    cost = operands[1].size.scaled(TRAVERSAL).scaled(_MAX_FORMAT_PATTERN * PATTERN)
    return Estimate(cost)


_EQUAL_AT_ONCE = ("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver")


def _equal(operands: Sequence[Sized], _: bool) -> Estimate | None:
    left, right = operands
    if not left.type_name or left.type_name != right.type_name:
        return None
    if left.type_name in _EQUAL_AT_ONCE:
        return Estimate(ONE)
    if left.type_name == "kubernetes.NamedFormat":
        return Estimate(Range(1, _MAX_FORMAT).scaled(TRAVERSAL))
    if left.type_name == "kubernetes.URL":
        most = right.size.most if right.computed else 1
        return Estimate(Range(1, most).scaled(TRAVERSAL))
    return None


OF_FUNCTIONS: Final[dict[str, Cost]] = {
    **dict.fromkeys(
        ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"),
        _list_traversed,
    ),
    "url": _same_size,
    "jsonpatch.escapeKey": _same_size,
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _same_size),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "find": _found,
    "findAll": _found,
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"),
        _argument(),
    ),
    "ip.isCanonical": _argument(2),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validated,
    "format.named": _plain,
    "check": lambda operands, member: Estimate(fixed(350_000)),
    "_==_": _equal,
}


def _made(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor) + ONE + fixed(NEW_LIST), size)


def _number(operand: Sized, default: int) -> int:
    return default if operand.constant is None else max(0, operand.constant)


def _slice(operands: Sequence[Sized], _: bool) -> Estimate:
    start = _number(operands[1], 0)
    end = _number(operands[2], operands[0].size.most)
    return _made(1, fixed((end - start) % 2**64))


def _flattened(operands: Sequence[Sized], _: bool) -> Estimate:
    depth = _number(operands[1], LIMIT) if len(operands) > 1 else 1
    return _made(depth, operands[0].size)


def _sorted(at: int, factor: float) -> Cost:
    return lambda operands, member: _made(factor, operands[at].size * operands[at].size)


def _sets(factor: float) -> Cost:
    def cost(operands: Sequence[Sized], _: bool) -> Estimate:
        return Estimate((operands[0].size * operands[1].size).scaled(factor) + ONE)

    return cost


def _traversed(at: int = 0, *, target: bool = True) -> Cost:
    """As many characters as an argument has; only of members, or only of functions."""

    def cost(operands: Sequence[Sized], member: bool) -> Estimate | None:
        return Estimate(operands[at].size.scaled(TRAVERSAL)) if member is target else None

    return cost


def _to_bytes(operands: Sequence[Sized], _: bool) -> Estimate:
    size = operands[0].size
    return Estimate(size.scaled(TRAVERSAL), Range(size.least, min(size.most * 4, LIMIT)))


def _to_string(operands: Sequence[Sized], _: bool) -> Estimate:
    size = operands[0].size
    return Estimate(size.scaled(TRAVERSAL), Range(size.least // 4, size.most))


def _quoted(operands: Sequence[Sized], _: bool) -> Estimate:
    size = operands[0].size
    made = Range(min(size.least + 2, LIMIT), min(size.most * 2 + 2, LIMIT))
    return Estimate(size.scaled(TRAVERSAL), made)


def _in_list(operands: Sequence[Sized], _: bool) -> Estimate:
    return Estimate(operands[1].size.scaled(1))


def _matches(operands: Sequence[Sized], member: bool) -> Estimate | None:
    return Estimate(_found(operands, member).cost) if member else None


def _contains(operands: Sequence[Sized], _: bool) -> Estimate:
    return Estimate(operands[0].size.scaled(TRAVERSAL) * operands[1].size.scaled(TRAVERSAL))


def _compared(operands: Sequence[Sized], _: bool) -> Estimate:
    most = min(operands[0].size.most, operands[1].size.most)
    return Estimate(Range(min(most, 1), most).scaled(TRAVERSAL))


def _added(operands: Sequence[Sized], _: bool) -> Estimate:
    size = operands[0].size + operands[1].size
    return Estimate(size.scaled(TRAVERSAL), size)


def _list_added(operands: Sequence[Sized], _: bool) -> Estimate:
    return Estimate(ONE, operands[0].size + operands[1].size)


FIRST_OF_OVERLOADS: Final[dict[str, Cost]] = {
    "list_slice": _slice,
    "list_flatten": _flattened,
    "list_flatten_int": _flattened,
    "lists_range": lambda operands, member: _made(1, fixed(_number(operands[0], LIMIT))),
    "list_reverse": lambda operands, member: _made(1, operands[0].size),
    "list_distinct": _sorted(0, 2),
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
    "cidr_ip": _plain,
    **{
        f"list_{name}_{what}": _sorted(at, 2 + TRAVERSAL * (name in ("string", "bytes")))
        for name in (
            "int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes",
        )
        for what, at in (("sort", 0), ("sortByAssociatedKeys", 1))
    },
}  # fmt: skip
"""What comes before the functions' costs."""
OF_OVERLOADS: Final[dict[str, Cost]] = {
    "string_format": _traversed(),
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_string,
    "strings_quote": _quoted,
    "starts_with_string": _traversed(1),
    "ends_with_string": _traversed(1),
    "in_list": _in_list,
    "matches_string": _matches,
    "contains_string": _contains,
    "add_string": _added,
    "add_bytes": _added,
    "add_list": _list_added,
    "equals": _compared,
    "not_equals": _compared,
    **{
        f"{order}_{kind}": _compared
        for order in ("less", "less_equals", "greater", "greater_equals")
        for kind in ("string", "bytes")
    },
}


def estimate(function: str, overload: str, operands: Sequence[Sized], *, member: bool) -> Estimate:
    """The cost of a call of an overload, without that of its arguments."""
    for table, name in (
        (FIRST_OF_OVERLOADS, overload),
        (OF_FUNCTIONS, function),
        (OF_OVERLOADS, overload),
    ):
        cost = table.get(name)
        found = None if cost is None else cost(operands, member)
        if found is not None:
            return found
    return Estimate(ONE)
