"""RFC 3339 times as Kubernetes writes them (spec api-machinery, section 5)."""

import re
from datetime import UTC, datetime

import orjson

_WHOLE_SECONDS = orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_UTC_Z
_MICROSECONDS = len("2006-01-02T15:04:05.000000")
_SECOND = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_TIME = re.compile(f"{_SECOND}Z")
_MICRO_TIME = re.compile(rf"{_SECOND}\.[0-9]{{6}}Z")


def format_time(moment: datetime) -> str:
    """metav1.Time: ``2006-01-02T15:04:05Z``, whole seconds, UTC."""
    return orjson.dumps(_in_utc(moment), option=_WHOLE_SECONDS)[1:-1].decode()


def format_micro_time(moment: datetime) -> str:
    """metav1.MicroTime: six decimals."""
    # Not strftime, which writes the year 1 as "1".
    return _in_utc(moment).isoformat(timespec="microseconds")[:_MICROSECONDS] + "Z"


def _in_utc(moment: datetime) -> datetime:
    """Nearly every moment is, and looking is cheaper than converting."""
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def parse_time(text: str) -> datetime:
    """An aware UTC datetime from either form; ValueError if it is neither, or if
    its offset leads out of the years 1 to 9999."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time out of range: {text!r}") from None


def is_time(text: str) -> bool:
    """Whether a text is a metav1.Time in the form in which it is stored."""
    return _TIME.fullmatch(text) is not None and _is_moment(text)


def is_micro_time(text: str) -> bool:
    """Whether a text is a metav1.MicroTime in the form in which it is stored."""
    return _MICRO_TIME.fullmatch(text) is not None and _is_moment(text)


def _is_moment(text: str) -> bool:
    try:
        return parse_time(text).year > 1  # Go's zero time is none
    except ValueError:
        return False
