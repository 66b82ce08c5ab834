"""Calls as functions that evaluate them: operators, and the overloads of functions.

Where the types leave several overloads, or are not known, the values of the arguments choose.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from kubeherd.cluster.api.cel.checker.declarations import Overload
from kubeherd.cluster.api.cel.checker.types import Kind, Type
from kubeherd.cluster.api.cel.costs import charges
from kubeherd.cluster.api.cel.interpreter import weights
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    NO_OVERLOAD,
    NONE,
    PLAIN,
    Failure,
    Optional,
    is_number,
    type_of,
)
from kubeherd.cluster.api.cel.interpreter.running import Frame, Run
from kubeherd.cluster.api.cel.syntax.nodes import Call

_CHARS = 16
"""So many characters of a text are gone through in a step."""
_Cost: TypeAlias = Callable[[Frame, list[Any], Any], int]


def planned(node: Call, operands: list[Run]) -> Run:
    """The function that evaluates a call, from those that evaluate its operands."""
    special = _SPECIAL.get(node.function)
    if special is not None and (node.target is None) == (node.function not in _MEMBERS):
        return special(node, operands)
    choose, charge = _chooser(node), _charge(node)
    cost_of = None if charge is None else _counted(charge, node)
    if len(operands) == 2:
        return _binary(operands[0], operands[1], choose, cost_of)

    def run(frame: Frame) -> Any:
        values = [one(frame) for one in operands]
        result = choose(values).run(*values)
        frame.charge(1 if cost_of is None else cost_of(frame, values, result))
        return result

    return run


def _counted(charge: charges.Charge, node: Call) -> _Cost:
    """`charge`, and the steps of going through a long text and of making one."""
    costly = node.function in weights.PATTERNS

    def cost_of(frame: Frame, values: list[Any], result: Any) -> int:
        cost = charge(values, result)
        if type(values[0]) is str:
            frame.effort.take(cost if costly else len(values[0]) // _CHARS)
        if type(result) is str:
            frame.effort.take(len(result) // _CHARS)
        return cost

    return cost_of


def _binary(
    left: Run, right: Run, choose: Callable[[list[Any]], Overload], cost_of: _Cost | None
) -> Run:
    def run(frame: Frame) -> Any:
        values = [left(frame), right(frame)]
        result = choose(values).run(*values)
        frame.charge(1 if cost_of is None else cost_of(frame, values, result))
        return result

    return run


def _charge(node: Call) -> charges.Charge | None:
    """What a call costs; where its types are open, the overload that the values choose decides."""
    found = [charges.of(node.function, one.id) for one in node.overloads]
    if len(set(found)) == 1:
        return found[0]
    choose = _chooser(node)

    def charge(values: Any, result: Any) -> int:
        one = charges.of(node.function, choose(values).id)
        return 1 if one is None else one(values, result)

    return charge


def _chooser(node: Call) -> Callable[[list[Any]], Overload]:
    """How the overload is found: there is one, or the values say which."""
    operands = node.operands()
    if len(node.overloads) == 1:
        only = node.overloads[0]
        if all(map(_is_certain, (one.type for one in operands), only.parameters)):
            return lambda values: only
    name, overloads = node.function, node.overloads
    known: dict[tuple[type, ...], Overload] = {}

    def choose(values: list[Any]) -> Overload:
        kinds = tuple(map(type, values))
        if kinds in known:
            return known[kinds]
        for overload in overloads:
            if not overload.guarded or all(map(_accepts, overload.parameters, values)):
                if PLAIN.issuperset(kinds):  # of others the type does not tell all
                    known[kinds] = overload
                return overload
        if name.replace(".", "").isidentifier():
            shown = ", ".join(type_of(value).runtime_name for value in values)
            raise Failure(f"{NO_OVERLOAD}: {name}({shown})")
        raise Failure(NO_OVERLOAD)

    return choose


def _is_certain(type_: Type, wanted: Type) -> bool:
    return wanted.kind in (Kind.PARAMETER, Kind.DYN) or type_.kind is wanted.kind


def _accepts(wanted: Type, value: Any) -> bool:
    if wanted.kind in (Kind.PARAMETER, Kind.DYN):
        return True
    found = type_of(value)
    if found.kind is not wanted.kind:
        return False
    if wanted.kind is Kind.LIST:  # the first element stands for all
        return not wanted.parameters or not value or _accepts(wanted.parameters[0], value[0])
    return wanted.kind not in (Kind.STRUCT, Kind.OPAQUE) or found.name == wanted.name


def _and(node: Call, operands: list[Run]) -> Run:
    return _logical(operands, decided=False)


def _or(node: Call, operands: list[Run]) -> Run:
    return _logical(operands, decided=True)


def _logical(operands: list[Run], *, decided: bool) -> Run:
    """``&&`` and ``||``: the side that decides wins, even if the other fails."""
    left, right = operands

    def run(frame: Frame) -> Any:
        failure: Failure | None = None
        try:
            value = left(frame)
            if value is decided:
                return decided
            if value is not (not decided):
                failure = Failure(NO_OVERLOAD)
        except Failure as raised:
            failure = raised
            frame.effort.take(weights.FAILED)
        try:
            value = right(frame)
        except Failure as raised:
            raise failure or raised from None
        if value is decided:
            return decided
        if failure is not None:
            raise failure
        if value is not (not decided):
            raise Failure(NO_OVERLOAD)
        return value

    return run


def _conditional(node: Call, operands: list[Run]) -> Run:
    condition, yes, no = operands

    def run(frame: Frame) -> Any:
        chosen = condition(frame)
        if chosen is True:
            return yes(frame)
        if chosen is False:
            return no(frame)
        raise Failure(NO_OVERLOAD)

    return run


def _not_strictly_false(node: Call, operands: list[Run]) -> Run:
    operand = operands[0]

    def run(frame: Frame) -> Any:
        frame.charge(1)
        try:
            return operand(frame) is not False
        except Failure:
            frame.effort.take(weights.FAILED)
            return True

    return run


def _index(node: Call, operands: list[Run]) -> Run:
    container, key = operands

    def run(frame: Frame) -> Any:
        value, at = container(frame), key(frame)
        frame.charge(1)
        if isinstance(value, Optional):
            return _optional_item(value, at)
        found = _item(value, at)
        if not found.present:
            raise Failure(
                f"index out of bounds: {at}" if isinstance(value, list) else f"no such key: {at}"
            )
        return found.value

    return run


def _optional_index(node: Call, operands: list[Run]) -> Run:
    container, key = operands

    def run(frame: Frame) -> Any:
        value, at = container(frame), key(frame)
        frame.charge(1)
        return _optional_item(value, at)

    return run


def _optional_item(value: Any, at: Any) -> Optional:
    if isinstance(value, Optional):
        return _optional_item(value.value, at) if value.present else NONE
    return _item(value, at)


def _item(value: Any, at: Any) -> Optional:
    """The element at a place or under a key, if there is one."""
    if isinstance(value, list) and is_number(at) and at == int(at):
        return Optional(value[int(at)]) if 0 <= at < len(value) else NONE
    if isinstance(value, dict) and isinstance(at, str | int | float):
        return Optional(value[at]) if at in value else NONE
    raise Failure(NO_OVERLOAD)


def _optional_or(node: Call, operands: list[Run]) -> Run:
    """``or`` and ``orValue``: the second is evaluated only where the first is missing."""
    first, second = operands
    whole = node.function == "or"

    def run(frame: Frame) -> Any:
        value = first(frame)
        frame.charge(1)
        if not isinstance(value, Optional):
            raise Failure(NO_OVERLOAD)
        if not value.present:
            return second(frame)
        return value if whole else value.value

    return run


_MEMBERS = frozenset({"or", "orValue"})
_SPECIAL: dict[str, Callable[[Call, list[Run]], Run]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _conditional,
    "@not_strictly_false": _not_strictly_false,
    "_[_]": _index,
    "_[?_]": _optional_index,
    "or": _optional_or,
    "orValue": _optional_or,
}
