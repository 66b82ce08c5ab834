"""Moments and lengths of time: from text and to text, and what can be asked of them.

Source: github.com/google/cel-go/common/types (timestamp.go, duration.go), Go's time.ParseDuration.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from kubeherd.cluster.api.cel.interpreter.datatypes import Duration, Failure, Timestamp

_NANO: Final = 10**9
_FIRST, _LAST = -62135596800, 253402300799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_UNITS: Final = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": _NANO, "m": 60 * _NANO,
    "h": 3600 * _NANO,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def timestamp(text: str) -> Timestamp:
    """A moment as RFC 3339 writes it; Failure if the text is none."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        zone = "+00:00" if match[4] in "zZ" else match[4]
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError:
        layout = "2006-01-02T15:04:05Z07:00"
        raise Failure(
            f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"'
        ) from None
    since = moment - _EPOCH
    fraction = int((match[3] or "0")[:9].ljust(9, "0"))
    offset = moment.utcoffset() or timedelta()
    found = from_seconds(since.days * 86400 + since.seconds, fraction)
    return Timestamp(found.nanos, int(offset.total_seconds()))


def from_seconds(seconds: int, nanos: int = 0) -> Timestamp:
    """A moment in the years 1 to 9999; Failure if it is not."""
    if not _FIRST <= seconds <= _LAST:
        raise Failure("timestamp overflow")
    return Timestamp(seconds * _NANO + nanos)


def shifted(moment: Timestamp, nanos: int) -> Timestamp:
    """A moment so much later."""
    moved = from_seconds(*divmod(moment.nanos + nanos, _NANO))
    return Timestamp(moved.nanos, moment.offset_s)


def duration(text: str) -> Duration:
    """A length of time as Go writes it (``1h30m``); Failure if the text is none."""
    sign = -1 if text[:1] == "-" else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return Duration(0)
    parts = _PART.findall(rest)
    if not parts or _PART.sub("", rest):
        raise Failure(f'time: invalid duration "{text}"')
    total = 0
    for number, unit in parts:
        whole, _, decimals = number.partition(".")
        scale = _UNITS[unit]
        total += int(whole or "0") * scale + int(decimals or "0") * scale // 10 ** len(decimals)
    if total >= 2**63:
        raise Failure(f'time: invalid duration "{text}"')
    return Duration(sign * total)


def moment_text(moment: Timestamp) -> str:
    """A moment as RFC 3339 writes it, with as many decimals as it needs."""
    seconds, nanos = divmod(moment.nanos, _NANO)
    day = _EPOCH + timedelta(seconds=seconds + moment.offset_s)
    decimals = f".{nanos:09d}".rstrip("0") if nanos else ""
    minutes = abs(moment.offset_s) // 60
    sign = "-" if moment.offset_s < 0 else "+"
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if moment.offset_s else "Z"
    return f"{day.year:04d}{day:-%m-%dT%H:%M:%S}{decimals}{zone}"


def duration_text(length: Duration) -> str:
    """A length of time in seconds: ``90s``, ``0.5s``."""
    seconds, nanos = divmod(abs(length.nanos), _NANO)
    decimals = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{'-' if length.nanos < 0 else ''}{seconds}{decimals}s"


def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - seldom needed

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise Failure(f"unknown time zone {name}") from None


def part(read: Callable[[datetime], int]) -> Callable[..., int]:
    """A function that reads something of a moment, in a zone if it is given one."""

    def run(moment: Timestamp, zone: str = "UTC") -> int:
        day = _EPOCH + timedelta(microseconds=moment.nanos // 1000)
        return read(day.astimezone(_zone(zone)))

    return run
