"""RFC 3339 times as Kubernetes writes them (spec api-machinery, section 5)."""

from datetime import UTC, datetime

_WHOLE_SECONDS = len("2006-01-02T15:04:05")


def format_time(moment: datetime) -> str:
    """metav1.Time: ``2006-01-02T15:04:05Z``, whole seconds, UTC."""
    return moment.astimezone(UTC).isoformat()[:_WHOLE_SECONDS] + "Z"


def format_micro_time(moment: datetime) -> str:
    """metav1.MicroTime: six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """An aware UTC datetime from either form; ValueError if it is neither."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return moment.astimezone(UTC)
