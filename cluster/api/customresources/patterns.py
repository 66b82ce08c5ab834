r"""Regular expressions of schemas and rules, in Go's syntax: RE2, of which Go's package is a port.

It takes time in proportion to the text, whatever the pattern; Python's `re` may take for ever.
What a pattern is made into has little to do with its length (`\pL{400}` takes eight megabytes), so
those that are kept are counted by what RE2 may take for each: its program, and the states that it
makes of it while it looks through texts.
"""

from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]

_IN_GO = {"missing )": "missing closing )", "invalid repetition size": "invalid repeat count"}
_TOO_LARGE = "pattern too large"
_SMALL_BYTES: Final = 256 * 1024
"""Enough for nearly all patterns: some ten thousand instructions."""
_LARGE_BYTES: Final = 8 << 20
"""RE2's own default: a pattern that needs more is refused."""
SMALL_KEPT, LARGE_KEPT = 256, 4
"""Together 96 MiB at most."""


class NoPattern(ValueError):
    """A text that is no regular expression; says why, as Go does."""


def compiled(pattern: str) -> Any:
    """What `re.compile` returns, from RE2; NoPattern if the text is no regular expression."""
    found = _small(pattern)
    return _large(pattern) if found is None else found


@lru_cache(maxsize=SMALL_KEPT)
def _small(pattern: str) -> Any:
    """None if that is not enough."""
    try:
        return _within(_SMALL_BYTES, pattern)
    except NoPattern as error:
        if _TOO_LARGE not in str(error):
            raise
    return None


@lru_cache(maxsize=LARGE_KEPT)
def _large(pattern: str) -> Any:
    return _within(_LARGE_BYTES, pattern)


def _within(size_bytes: int, pattern: str) -> Any:
    """RE2's program that takes so much memory at most, now and later."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = size_bytes
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why, _, where = bytes(error.args[0]).decode(errors="replace").partition(": ")
        text = _IN_GO.get(why, why) + f": `{where}`" * bool(where)
        raise NoPattern(f"error parsing regexp: {text}") from None
    finally:
        re2.purge()  # it keeps the last 128 by itself, however large


def check(pattern: str) -> None:
    """NoPattern if the text is no regular expression."""
    compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether a text contains what the pattern describes; NoPattern if it is none."""
    return compiled(pattern).search(text) is not None
