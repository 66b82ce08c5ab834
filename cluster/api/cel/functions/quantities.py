"""``quantity('1Gi')`` and its arithmetic.

Source: k8s.io/apiserver/pkg/cel/library/quantity.go. Comparing and adding go by the amount.
"""

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import BOOL, DOUBLE, INT, QUANTITY, STRING
from kubeherd.cluster.api.cel.interpreter.datatypes import INT_MAX, INT_MIN, Failure
from kubeherd.cluster.api.quantity import NANO, Quantity


def _parsed(text: str) -> Quantity:
    if text != text.strip():
        raise Failure(quantity.WRONG_FORMAT)
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise Failure(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        _parsed(text)
    except Failure:
        return False
    return True


def _is_integer(one: Quantity) -> bool:
    return one.nanos % NANO == 0 and INT_MIN <= one.nanos // NANO <= INT_MAX


def _as_integer(one: Quantity) -> int:
    if not _is_integer(one):
        raise Failure("cannot convert value to integer")
    return one.nanos // NANO


def _sign(one: Quantity) -> int:
    return (one.nanos > 0) - (one.nanos < 0)


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.nanos > right.nanos) - (left.nanos < right.nanos)


def _amount(value: Quantity | int) -> Quantity:
    """A number is one of units, written with an exponent."""
    if isinstance(value, Quantity):
        return value
    return Quantity(value * NANO, quantity.Family.DECIMAL_EXPONENT)


def _add(left: Quantity, right: Quantity | int) -> Quantity:
    return left + _amount(right)


def _sub(left: Quantity, right: Quantity | int) -> Quantity:
    return left - _amount(right)


LIBRARY: Functions = {
    "quantity": (function("string_to_quantity", QUANTITY, _parsed, STRING),),
    "isQuantity": (function("is_quantity_string", BOOL, _is_quantity, STRING),),
    "sign": (function("quantity_sign", INT, _sign, QUANTITY),),
    "isGreaterThan": (
        member("quantity_is_greater_than", BOOL, lambda a, b: a > b, QUANTITY, QUANTITY),
    ),
    "isLessThan": (member("quantity_is_less_than", BOOL, lambda a, b: a < b, QUANTITY, QUANTITY),),
    "compareTo": (member("quantity_compare_to", INT, _compare, QUANTITY, QUANTITY),),
    "asApproximateFloat": (
        member("quantity_get_float", DOUBLE, lambda one: float(one.fraction()), QUANTITY),
    ),
    "asInteger": (member("quantity_get_int", INT, _as_integer, QUANTITY),),
    "isInteger": (member("quantity_is_integer", BOOL, _is_integer, QUANTITY),),
    "add": (
        member("quantity_add", QUANTITY, _add, QUANTITY, QUANTITY),
        member("quantity_add_int", QUANTITY, _add, QUANTITY, INT),
    ),
    "sub": (
        member("quantity_sub", QUANTITY, _sub, QUANTITY, QUANTITY),
        member("quantity_sub_int", QUANTITY, _sub, QUANTITY, INT),
    ),
}
