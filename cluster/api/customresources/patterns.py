"""Regular expressions of schemas and rules, in Go's syntax: RE2, of which Go's package is a port.

It takes time in proportion to the text, whatever the pattern; Python's `re` may take for ever.
"""

from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

_IN_GO = {"missing )": "missing closing )", "invalid repetition size": "invalid repeat count"}
_MAX_MEMORY_BYTES = 8 << 20
"""RE2's own default: a pattern that needs more is refused."""


class NoPattern(ValueError):
    """A text that is no regular expression; says why, as Go does."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """What `re.compile` returns, from RE2; NoPattern if the text is no regular expression."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why, _, where = bytes(error.args[0]).decode(errors="replace").partition(": ")
        text = _IN_GO.get(why, why) + f": `{where}`" * bool(where)
        raise NoPattern(f"error parsing regexp: {text}") from None


def check(pattern: str) -> None:
    """NoPattern if the text is no regular expression."""
    compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether a text contains what the pattern describes; NoPattern if it is none."""
    return compiled(pattern).search(text) is not None
