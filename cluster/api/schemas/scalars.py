"""Scalar values of the API: what JSON they accept and the one form in which they are kept."""

import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.memo import remembered
from kubeherd.cluster.api.schemas.definitions import FieldType
from kubeherd.cluster.api.timestamps import format_micro_time, format_time

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_TIME_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_MICRO_DIGITS = 6
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,64}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_TIME_PARTS = (
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"),
    ("15", r"\d\d"), (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(?:[.,]\d+)?"),
    ("Z07:00", r"Z|[+-]\d\d:\d\d"),
)  # fmt: skip
_MICRO_TIME_PARTS = (*_TIME_PARTS[:-2], ("05", r"\d\d"), (".000000", r"[.,]\d{6}"), _TIME_PARTS[-1])
"""Of a MicroTime the six digits are no option."""


def fits(type_: FieldType, value: JsonValue) -> bool:
    """Whether Go could read this JSON value into the type, apart from its own parse errors."""
    if type_ is FieldType.QUANTITY:
        return True  # reports everything by itself
    cls = value.__class__
    if cls is int:
        if type_ is FieldType.INT32 or type_ is FieldType.INT_OR_STRING:
            return value in _INT32
        return type_ is FieldType.NUMBER or (type_ is FieldType.INT64 and value in _INT64)
    if cls is str:
        return type_ in _TEXTUAL
    if cls is bool:
        return type_ is FieldType.BOOL
    return cls is float and type_ is FieldType.NUMBER and math.isfinite(value)


_TEXTUAL = frozenset(
    {
        FieldType.STRING, FieldType.BYTES, FieldType.TIME, FieldType.MICRO_TIME,
        FieldType.INT_OR_STRING,
    }
)  # fmt: skip


def canonical(type_: FieldType, value: JsonValue) -> JsonValue:
    """The form in which a value that `fits` is kept; ValueError with Kubernetes' text."""
    make = canonical_form(type_)
    return value if make is None else make(value)


def canonical_form(type_: FieldType) -> Callable[[JsonValue], JsonValue] | None:
    """What makes the form in which values of a type are kept, as `canonical` does; None where they
    are kept as they are."""
    return _CANONICAL.get(type_)


def _quantity(value: JsonValue) -> str:
    if value.__class__ is str:
        return _canonical_quantity(value)
    return quantity.parse(value).canonical()


@remembered(entries=4096, longest=40)
def _canonical_quantity(text: str) -> str:
    return quantity.parse(text).canonical()


def _base64(value: str) -> str:
    """Checked only: Kubernetes writes standard base64 with padding, which is all it accepts."""
    try:
        binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        stripped = value.replace("\n", "").replace("\r", "")
        try:
            binascii.a2b_base64(stripped, strict_mode=True)
        except (binascii.Error, ValueError):
            position = _illegal_base64_position(value)
            raise ValueError(f"illegal base64 data at input byte {position}") from None
        return stripped
    return value


def _illegal_base64_position(value: str) -> int:
    match = re.match(r"(?:[A-Za-z0-9+/]|[\r\n])*", value)
    legal = match.end() if match else 0
    return legal if legal < len(value) and value[legal] != "=" else len(value) // 4 * 4


def moment_of(value: str, layout: str = _TIME_LAYOUT) -> datetime:
    """The UTC datetime of an RFC 3339 text; ValueError in the words of Go, also for a time that is
    before the year 1 or after 9999 in UTC."""
    match = _RFC3339.fullmatch(value)
    if match is None or (layout is _MICRO_TIME_LAYOUT and len(match[2] or "") != _MICRO_DIGITS):
        raise ValueError(_time_problem(value, layout))
    zone = "+00:00" if match[3] == "Z" else match[3]
    fraction = f".{match[2][:6]:0<6}" if match[2] else ""
    try:
        return datetime.fromisoformat(match[1] + fraction + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        which = _out_of_range(match[1])
        raise ValueError(f'parsing time "{value}": {which} out of range') from None


def _out_of_range(text: str) -> str:
    if not 1 <= int(text[5:7]) <= 12:
        return "month"
    if int(text[11:13]) > 23:
        return "hour"
    if int(text[14:16]) > 59:
        return "minute"
    return "second" if int(text[17:19]) > 59 else "day"


def _time_problem(value: str, layout: str) -> str:
    """Go's words for a string that is no time: the first element that does not match."""
    rest = value
    parts = _MICRO_TIME_PARTS if layout is _MICRO_TIME_LAYOUT else _TIME_PARTS
    for element, pattern in parts:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{element}"'
        rest = rest[match.end() :]
    return f'parsing time "{value}": extra text: "{rest}"'


def _time(value: str) -> str:
    return format_time(moment_of(value))


def _micro_time(value: str) -> str:
    return format_micro_time(moment_of(value, _MICRO_TIME_LAYOUT))


_CANONICAL: dict[FieldType, Callable[[JsonValue], JsonValue]] = {
    FieldType.QUANTITY: _quantity,
    FieldType.BYTES: _base64,
    FieldType.TIME: remembered(entries=1024, longest=40)(_time),
    FieldType.MICRO_TIME: _micro_time,
}
