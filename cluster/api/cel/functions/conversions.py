"""From one type to another: ``int``, ``double``, ``string``, ``timestamp``, ``dyn`` and the like.

Source: github.com/google/cel-go/common/types (ConvertToType of each type).
"""

import math
from typing import Any

from kubeherd.cluster.api.cel.checker.declarations import Functions, function
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
    parameter,
)
from kubeherd.cluster.api.cel.functions import times
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    Duration,
    Failure,
    Timestamp,
    UInt,
    in_range,
    in_uint_range,
)
from kubeherd.cluster.api.goformat import parse_bool


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    given = parse_bool(value) if isinstance(value, str) else None
    if given is not None:
        return given
    raise Failure("type conversion error from 'string' to 'bool'")


def _int(value: Any) -> int:
    if isinstance(value, Timestamp):
        return value.nanos // 10**9
    if isinstance(value, Duration):
        return value.nanos
    if isinstance(value, float):
        if not math.isfinite(value) or not -(2.0**63) < value < 2.0**63:
            raise Failure("integer overflow")
        return int(value)
    if isinstance(value, str):
        return _parsed(value, signed=True)
    return in_range(int(value))


def _uint(value: Any) -> UInt:
    if isinstance(value, float):
        if not math.isfinite(value) or not 0 <= value < 2.0**64:
            raise Failure("unsigned integer overflow")
        return UInt(int(value))
    if isinstance(value, str):
        return UInt(_parsed(value, signed=False))
    return in_uint_range(int(value))


def _parsed(text: str, *, signed: bool) -> int:
    digits = text[1:] if signed and text[:1] in ("-", "+") else text
    name = "ParseInt" if signed else "ParseUint"
    if not (digits.isascii() and digits.isdigit()):
        raise Failure(f'strconv.{name}: parsing "{text}": invalid syntax')
    number = int(text) if len(text) < 25 else 2**65
    low, high = (-(2**63), 2**63) if signed else (0, 2**64)
    if not low <= number < high:
        raise Failure(f'strconv.{name}: parsing "{text}": value out of range')
    return number


def _double(value: Any) -> float:
    if isinstance(value, str):
        try:
            if value != value.strip() or "_" in value:
                raise ValueError
            return float(value)
        except ValueError:
            raise Failure(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    return float(value)


def string(value: Any) -> str:
    """``string(value)``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Failure("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, Timestamp):
        return times.moment_text(value)
    if isinstance(value, Duration):
        return times.duration_text(value)
    return str(int(value))


def double_text(value: float) -> str:
    """A number as Go's ``%g`` writes it, with all its digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        number = int(exponent)
        if -4 <= number < 21:
            return f"{value:.{max(0, -number + 17)}f}".rstrip("0").rstrip(".")
        return f"{mantissa.removesuffix('.0')}e{'-' if number < 0 else '+'}{abs(number):02d}"
    if abs(value) >= 1e21:
        return text
    return text.removesuffix(".0")


def _timestamp(value: Any) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    return times.timestamp(value) if isinstance(value, str) else times.from_seconds(value)


def _duration(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    return times.duration(value) if isinstance(value, str) else Duration(value)


LIBRARY: Functions = {
    "dyn": (function("to_dyn", DYN, lambda value: value, parameter("A")),),
    "bool": (
        function("bool_to_bool", BOOL, _bool, BOOL),
        function("string_to_bool", BOOL, _bool, STRING),
    ),
    "bytes": (
        function("bytes_to_bytes", BYTES, lambda value: value, BYTES),
        function("string_to_bytes", BYTES, lambda text: text.encode(), STRING),
    ),
    "double": (
        function("double_to_double", DOUBLE, _double, DOUBLE),
        function("int64_to_double", DOUBLE, _double, INT),
        function("string_to_double", DOUBLE, _double, STRING),
        function("uint64_to_double", DOUBLE, _double, UINT),
    ),
    "duration": (
        function("duration_to_duration", DURATION, _duration, DURATION),
        function("int64_to_duration", DURATION, _duration, INT),
        function("string_to_duration", DURATION, _duration, STRING),
    ),
    "int": (
        function("int64_to_int64", INT, _int, INT),
        function("double_to_int64", INT, _int, DOUBLE),
        function("duration_to_int64", INT, _int, DURATION),
        function("string_to_int64", INT, _int, STRING),
        function("timestamp_to_int64", INT, _int, TIMESTAMP),
        function("uint64_to_int64", INT, _int, UINT),
    ),
    "string": (
        function("string_to_string", STRING, string, STRING),
        function("bool_to_string", STRING, string, BOOL),
        function("bytes_to_string", STRING, string, BYTES),
        function("double_to_string", STRING, string, DOUBLE),
        function("duration_to_string", STRING, string, DURATION),
        function("int64_to_string", STRING, string, INT),
        function("timestamp_to_string", STRING, string, TIMESTAMP),
        function("uint64_to_string", STRING, string, UINT),
    ),
    "timestamp": (
        function("timestamp_to_timestamp", TIMESTAMP, _timestamp, TIMESTAMP),
        function("int64_to_timestamp", TIMESTAMP, _timestamp, INT),
        function("string_to_timestamp", TIMESTAMP, _timestamp, STRING),
    ),
    "uint": (
        function("uint64_to_uint64", UINT, _uint, UINT),
        function("double_to_uint64", UINT, _uint, DOUBLE),
        function("int64_to_uint64", UINT, _uint, INT),
        function("string_to_uint64", UINT, _uint, STRING),
    ),
}
