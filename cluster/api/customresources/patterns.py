"""Regular expressions of schemas and rules, in Go's syntax (RE2).

Go's take time in proportion to the text; Python's may take for ever. So `re` gets only patterns
that cannot (no repeated group, few repetitions), rewritten where the two differ in what people
write: ``$`` and ``\\z`` are the end of the text, POSIX classes are spelt out. All others go to the
engine of the CEL library, which is like Go's but for ``\\d`` and the like, which know Unicode.
"""

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubeherd.cluster.api.customresources.cel.engine import Program

_CLASSES = {
    "[:alnum:]": "0-9A-Za-z", "[:alpha:]": "A-Za-z", "[:blank:]": r"\t ", "[:digit:]": "0-9",
    "[:lower:]": "a-z", "[:upper:]": "A-Z", "[:space:]": r"\t\n\v\f\r ", "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f", "[:punct:]": r"!-/:-@\[-`{-~",
}  # fmt: skip
_PART = re.compile(r"\\.|\[:[a-z]+:\]|[\[\]$]", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_REPETITION = re.compile(r"[*+]|,\}")
_MAX_REPETITIONS = 2


class NoPattern(ValueError):
    """A text that is no regular expression; says why."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern for `re`, to be searched for; None if it is one for the other engine."""
    if _REPEATED_GROUP.search(pattern) or len(_REPETITION.findall(pattern)) > _MAX_REPETITIONS:
        return None
    try:
        return re.compile(_python(pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError):
        return None


def _python(pattern: str) -> str:
    inside = False

    def spelt(match: re.Match[str]) -> str:
        nonlocal inside
        part = match[0]
        if part in _CLASSES:
            return _CLASSES[part] if inside else part
        if part == "[":
            opened, inside = inside, True
            return r"\[" if opened else part
        if part == "]":
            inside = False
        elif part == "$" and not inside:
            return r"\Z"
        return r"\Z" if part == r"\z" else part

    return _PART.sub(spelt, pattern)


@cache
def _matching() -> "Program":
    from kubeherd.cluster.api.customresources.cel import engine  # noqa: PLC0415 - seldom

    return engine.compile("text.matches(pattern)")


def _searched(pattern: str, text: str) -> bool:
    try:
        return bool(_matching().execute({"text": text, "pattern": pattern}))
    except RuntimeError as error:
        why = str(error).rpartition("error: ")[2].partition(". Check function")[0]
        raise NoPattern(why) from None


def check(pattern: str) -> None:
    """NoPattern if the text is no regular expression."""
    if compiled(pattern) is None:
        _searched(pattern, "")


def matches(pattern: str, text: str) -> bool:
    """Whether a text contains what the pattern describes; NoPattern if it is none."""
    found = compiled(pattern)
    return found.search(text) is not None if found is not None else _searched(pattern, text)
