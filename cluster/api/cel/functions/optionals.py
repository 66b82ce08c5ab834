"""Values that may be missing: ``optional.of``, ``orValue`` and the like.

Source: github.com/google/cel-go/cel/library.go (optionalLib).
"""

from typing import Any

from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import BOOL, list_of, optional_of, parameter
from kubeherd.cluster.api.cel.interpreter.datatypes import NONE, Failure, Optional, is_zero

_V = parameter("V")
_OPTIONAL, _LIST = optional_of(_V), list_of(_V)


def _lazy(*_: Any) -> Any:
    """`or` and `orValue`: the interpreter evaluates the second operand only where it counts."""
    raise Failure("no such overload")


LIBRARY: Functions = {
    "optional.of": (function("optional_of", _OPTIONAL, Optional, _V),),
    "optional.ofNonZeroValue": (
        function(
            "optional_ofNonZeroValue",
            _OPTIONAL,
            lambda value: NONE if is_zero(value) else Optional(value),
            _V,
        ),
    ),
    "optional.none": (function("optional_none", _OPTIONAL, lambda: NONE),),
    "value": (member("optional_value", _V, Optional.get, _OPTIONAL),),
    "hasValue": (member("optional_hasValue", BOOL, lambda one: one.present, _OPTIONAL),),
    "or": (member("optional_or_optional", _OPTIONAL, _lazy, _OPTIONAL, _OPTIONAL),),
    "orValue": (member("optional_orValue_value", _V, _lazy, _OPTIONAL, _V),),
    "first": (
        member("list_first", _OPTIONAL, lambda all_: Optional(all_[0]) if all_ else NONE, _LIST),
    ),
    "last": (
        member("list_last", _OPTIONAL, lambda all_: Optional(all_[-1]) if all_ else NONE, _LIST),
    ),
    "optional.unwrap": (
        function(
            "optional_unwrap",
            _LIST,
            lambda all_: [one.value for one in all_ if one.present],
            list_of(_OPTIONAL),
        ),
    ),
    "unwrapOpt": (
        member(
            "optional_unwrapOpt",
            _LIST,
            lambda all_: [one.value for one in all_ if one.present],
            list_of(_OPTIONAL),
        ),
    ),
}
