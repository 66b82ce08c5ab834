"""Whether a value of one type may stand where another is wanted, and what that says of parameters.

Source: github.com/google/cel-go/checker/types.go. `found` is what type parameters are known to be;
it is changed.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.cel.checker.types import DYN, Kind, Type, is_dynamic

_NULLABLE = frozenset({Kind.OPAQUE, Kind.DURATION, Kind.TIMESTAMP, Kind.NULL, Kind.STRUCT})
MAX_LEVELS = 16
"""Lists in lists that have types."""
_COMPOSED = frozenset({Kind.OPAQUE, Kind.LIST, Kind.MAP})


def assignable_lists(found: dict[str, Type], left: Sequence[Type], right: Sequence[Type]) -> bool:
    """Whether each type is assignable to the one at its place."""
    return len(left) == len(right) and all(
        assignable(found, one, other) for one, other in zip(left, right, strict=True)
    )


def assignable(found: dict[str, Type], left: Type, right: Type) -> bool:
    """Whether two types agree."""
    if right.kind is Kind.PARAMETER:
        valid, known = _substitution(found, left, right)
        if valid:
            return True
        if known:
            return False
    if left.kind is Kind.PARAMETER:
        return _substitution(found, right, left)[0]
    if is_dynamic(left) or is_dynamic(right):
        return True
    if left.kind is Kind.NULL:
        return right.kind in _NULLABLE
    if right.kind is Kind.NULL:
        return left.kind in _NULLABLE
    if left.kind is not right.kind:
        return False
    if left.kind is Kind.TYPE:
        return True
    if left.kind in _COMPOSED:
        return left.name == right.name and (
            not left.parameters
            or not right.parameters
            or assignable_lists(found, left.parameters, right.parameters)
        )
    return left.name == right.name


def _substitution(found: dict[str, Type], type_: Type, parameter: Type) -> tuple[bool, bool]:
    """Whether a parameter can be of this type, and whether it was known before what it is."""
    if type_ == parameter:
        return True, True
    known = found.get(parameter.name)
    if known is None:
        if _refers(found, parameter, type_):
            return False, False
        found[parameter.name] = type_
        return True, False
    if type_ == known:
        return True, True
    if not assignable(found, type_, known):
        return False, True
    general = most_general(type_, known)
    if not _refers(found, parameter, general):
        found[parameter.name] = general
    return True, True


def _refers(found: dict[str, Type], parameter: Type, within: Type) -> bool:
    """Whether a type is made of this parameter."""
    if within.kind is Kind.PARAMETER:
        known = found.get(within.name)
        return within.name == parameter.name or (
            known is not None and _refers(found, parameter, known)
        )
    return any(_refers(found, parameter, one) for one in within.parameters)


def shallow(found: dict[str, Type], type_: Type) -> Type:
    """A type, or DYN for one of more levels than anybody writes by hand: loops after loops make
    types that take longer and longer to compare."""
    inner = type_
    for _ in range(MAX_LEVELS):
        while inner.kind is Kind.PARAMETER and inner.name in found:
            inner = found[inner.name]
        if not inner.parameters:
            return type_
        inner = inner.parameters[-1]
    return DYN


def most_general(left: Type, right: Type) -> Type:
    """The one of two types that says less."""
    return left if _less_specific(left, right) else right


def _less_specific(left: Type, right: Type) -> bool:
    if is_dynamic(left) or left.kind is Kind.PARAMETER:
        return True
    if is_dynamic(right) or right.kind is Kind.PARAMETER:
        return False
    if left.kind is not right.kind or left.name != right.name:
        return False
    if len(left.parameters) != len(right.parameters):
        return False
    return all(map(_less_specific, left.parameters, right.parameters))
