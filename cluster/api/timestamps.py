"""RFC 3339 times as Kubernetes writes them (spec api-machinery, section 5)."""

from datetime import UTC, datetime

_WHOLE_SECONDS = len("2006-01-02T15:04:05")
_MICROSECONDS = len("2006-01-02T15:04:05.000000")


def format_time(moment: datetime) -> str:
    """metav1.Time: ``2006-01-02T15:04:05Z``, whole seconds, UTC."""
    return _in_utc(moment).isoformat()[:_WHOLE_SECONDS] + "Z"


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
