"""Ages as kubectl's tables show them (spec api-machinery, 15): ``5m3s``, ``2d4h``, ``3y12d``."""

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400
_YEAR_S = 365 * _DAY_S


def human(age_s: float) -> str:
    """An age in seconds, shortened the way Kubernetes shortens it."""
    seconds = int(age_s)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE_S:
        return _pair(seconds, _MINUTE_S, "m", 1, "s")
    if seconds < 3 * _HOUR_S:
        return f"{seconds // _MINUTE_S}m"
    if seconds < 8 * _HOUR_S:
        return _pair(seconds, _HOUR_S, "h", _MINUTE_S, "m")
    if seconds < 48 * _HOUR_S:
        return f"{seconds // _HOUR_S}h"
    if seconds < 8 * _DAY_S:
        return _pair(seconds, _DAY_S, "d", _HOUR_S, "h")
    if seconds < 2 * _YEAR_S:
        return f"{seconds // _DAY_S}d"
    if seconds < 8 * _YEAR_S:
        return _pair(seconds, _YEAR_S, "y", _DAY_S, "d")
    return f"{seconds // _YEAR_S}y"


def _pair(seconds: int, big_s: int, big: str, small_s: int, small: str) -> str:
    whole, rest = divmod(seconds, big_s)
    rest //= small_s
    return f"{whole}{big}{rest}{small}" if rest else f"{whole}{big}"
