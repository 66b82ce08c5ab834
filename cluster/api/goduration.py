"""Lengths of time as Go writes them (``1h30m``, ``-1.5s``): Go's time.ParseDuration. Pure."""

import re

from kubeherd.cluster.api.goformat import quoted

_NANO = 10**9
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": _NANO, "m": 60 * _NANO,
    "h": 3600 * _NANO,
}  # fmt: skip
"""Nanoseconds of each; a millionth of a second is written with three different letters."""
_PART = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")
_LIMIT = 2**63


def nanoseconds(text: str) -> int:
    """The length in nanoseconds; ValueError, in Go's words, for what is none."""
    sign = -1 if text[:1] == "-" else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    total = 0
    for part in _PART.finditer(rest):
        if part[0]:
            total += _part(text, part)
    if total >= _LIMIT:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    return sign * total


def _part(text: str, part: re.Match[str]) -> int:
    """Nanoseconds of one number with its unit."""
    whole, decimals, unit = part[1], (part[2] or "")[1:], part[3]
    if not (whole or decimals):
        raise ValueError(f"time: invalid duration {quoted(text)}")
    if not unit:
        raise ValueError(f"time: missing unit in duration {quoted(text)}")
    if unit not in _UNITS:
        raise ValueError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
    scale = _UNITS[unit]
    fraction: int = int(decimals or "0") * scale // 10 ** len(decimals)
    return int(whole or "0") * scale + fraction
