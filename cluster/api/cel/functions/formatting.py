"""``'%s has %d'.format([a, b])``.

Source: github.com/google/cel-go/ext/formatting.go.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from kubeherd.cluster.api.cel.checker.types import Kind, Type
from kubeherd.cluster.api.cel.effort import take
from kubeherd.cluster.api.cel.functions.conversions import double_text, string
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    Duration,
    Failure,
    Timestamp,
    UInt,
    bounded,
    type_of,
)
from kubeherd.cluster.api.goformat import quoted

_PRECISION = 6
_CLAUSE = re.compile(r"(\.\d*)?(.?)", re.DOTALL)
ONLY = {
    "b": "only integers and bools can be formatted as binary",
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "X": "only integers, byte buffers, and strings can be formatted as hex",
    "o": "octal clause can only be used on integers",
    "s": (
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, "
        "types, durations, and timestamps"
    ),
}
"""What each clause is for."""
_WHOLE = frozenset({Kind.INT, Kind.UINT})
_DOUBLES = frozenset({Kind.DOUBLE, Kind.STRING})
_HEX = _WHOLE | {Kind.STRING, Kind.BYTES}
KINDS = {
    "b": _WHOLE | {Kind.BOOL}, "d": _WHOLE, "o": _WHOLE, "f": _DOUBLES, "e": _DOUBLES, "x": _HEX,
    "X": _HEX,
    "s": _HEX | {
        Kind.LIST, Kind.MAP, Kind.DOUBLE, Kind.BOOL, Kind.TIMESTAMP, Kind.DURATION, Kind.TYPE,
        Kind.NULL,
    },
}  # fmt: skip
"""The types that each clause is for."""


def clauses(text: str, count: int) -> Iterator[str]:
    """The letters of the clauses of a text, for so many arguments; Failure if one is none."""
    for part in _parts(text, count):
        if not isinstance(part, str):
            yield part[2]


def formatted(text: str, arguments: list[Any]) -> str:
    """The text with its clauses filled in; Failure if one has no argument that fits."""
    rest, made, size = iter(arguments), [], 0
    for part in _parts(text, len(arguments)):
        made.append(part if isinstance(part, str) else _filled(part, next(rest)))
        size += len(made[-1])
        bounded(size)
    return "".join(made)


def _parts(text: str, count: int) -> Iterator[str | re.Match[str]]:
    """What stands between the clauses, and the clauses; Failure if there are too many of them."""
    at, used = 0, 0
    while (sign := text.find("%", at)) >= 0:
        yield text[at:sign]
        if text.startswith("%%", sign):
            yield "%"
            at = sign + 2
            continue
        if used >= count:
            raise Failure(f"index {used} out of range")
        if sign + 1 >= len(text):
            raise Failure("unexpected end of string")
        clause, at = _clause(text, sign + 1)
        yield clause
        used += 1
    yield text[at:]


def _clause(text: str, at: int) -> tuple[re.Match[str], int]:
    clause = _CLAUSE.match(text, at)
    if clause is None:
        raise Failure("unexpected end of string")
    problem = ""
    if clause[1] and not clause[2]:
        problem = "error while parsing precision: could not find end of precision specifier"
    elif clause[1] == ".":
        detail = 'strconv.Atoi: parsing "": invalid syntax'
        problem = (
            f"error while parsing precision: error while converting precision to integer: {detail}"
        )
    elif clause[2] not in ONLY:
        problem = f'unrecognized formatting clause "{clause[2]}"'
    if problem:
        raise Failure(f"could not parse formatting clause: {problem}")
    return clause, clause.end()


def _filled(clause: re.Match[str], value: Any) -> str:
    precision = min(int(clause[1][1:]), 1000) if clause[1] else _PRECISION
    made = _value(clause[2], value, precision)
    if made is None:
        name = type_of(value).runtime_name
        raise Failure(f"error during formatting: {ONLY[clause[2]]}, was given {name}")
    return made


def _value(clause: str, value: Any, precision: int) -> str | None:
    """A value as a clause writes it; None if the clause is not for its type."""
    if clause == "s":
        return _string(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if clause in "fe":
        return _double(clause, value, precision)
    if clause in "xX" and isinstance(value, str | bytes):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if clause == "X" else digits
    if clause == "b" and isinstance(value, bool):
        return str(int(value))
    return format(int(value), clause) if whole else None


def _double(clause: str, value: Any, precision: int) -> str | None:
    if value in ("NaN", "Infinity", "-Infinity") and isinstance(value, str):
        value = float(value)
    if not isinstance(value, float):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "NaN"
    if clause == "f":
        return f"{value:,.{precision}f}"
    mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
    superscript = exponent.replace("+", "").translate(_SUPERSCRIPT)
    return f"{mantissa}×10{superscript}"


_ELEMENT = 8
"""Steps (`cel.effort`) of writing an element."""
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _string(value: Any) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, list):
        take(_ELEMENT * len(value))
        made = {id(one): "" for one in value}
        for one in value:
            made[id(one)] = made[id(one)] or _inside(one)
        bounded(sum(len(made[id(one)]) for one in value))
        return "[" + ", ".join(made[id(one)] for one in value) + "]"
    if isinstance(value, dict):
        take(2 * _ELEMENT * len(value))
        entries = sorted((_inside(key), _inside(one)) for key, one in value.items())
        bounded(sum(len(key) + len(one) for key, one in entries))
        return "{" + ", ".join(f"{key}:{one}" for key, one in entries) + "}"
    if isinstance(value, Type):
        return value.runtime_name
    if isinstance(value, str | bool | int | float | bytes | Timestamp | Duration):
        return double_text(value) if isinstance(value, float) else string(value)
    return None


def _inside(value: Any) -> str:
    """A value in a list or a map: strings are quoted."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bytes):
        return "b" + quoted(string(value))
    if isinstance(value, Timestamp | Duration):
        name = "timestamp" if isinstance(value, Timestamp) else "duration"
        return f'{name}("{string(value)}")'
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{_PRECISION}f}"
    if isinstance(value, UInt):
        return str(int(value))
    made = _string(value)
    if made is None:
        raise Failure(
            f"error during formatting: no formatting function for {type_of(value).runtime_name}"
        )
    return made
