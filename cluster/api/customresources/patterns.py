"""Regular expressions of schemas: Go's syntax (RE2) in Python's `re`.

Where the two differ in what people write, the pattern is rewritten: ``$`` and ``\\z`` are the end
of the text, POSIX classes are spelt out. Invariant: a pattern that `compiled` refuses was refused
when its definition was written.
"""

import re
from functools import lru_cache

_CLASSES = {
    "[:alnum:]": "0-9A-Za-z", "[:alpha:]": "A-Za-z", "[:blank:]": r"\t ", "[:digit:]": "0-9",
    "[:lower:]": "a-z", "[:upper:]": "A-Z", "[:space:]": r"\t\n\v\f\r ", "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f", "[:punct:]": r"!-/:-@\[-`{-~",
}  # fmt: skip
_TOKEN = re.compile(r"\\.|\[:[a-z]+:\]|[\[\]$]", re.DOTALL)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that is searched for anywhere in a text; re.error if it is none."""
    inside = False

    def python(match: re.Match[str]) -> str:
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

    return re.compile(_TOKEN.sub(python, pattern), re.ASCII)


def matches(pattern: str, text: str) -> bool:
    """Whether a text contains what the pattern describes."""
    return compiled(pattern).search(text) is not None
