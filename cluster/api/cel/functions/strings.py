"""Functions of strings: cel-go's extension of version 2, and Kubernetes' find and findAll.

Source: github.com/google/cel-go/ext/strings.go, k8s.io/apiserver/pkg/cel/library/regex.go.
"""

import string
from typing import Any

from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import DYN, INT, STRING, list_of
from kubeherd.cluster.api.cel.effort import REFUSED_PATTERN, take
from kubeherd.cluster.api.cel.functions import formatting
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure, bounded
from kubeherd.cluster.api.customresources import patterns

_MATCH = 16
"""Steps (`cel.effort`) of a match."""
_STRINGS = list_of(STRING)
_SPACE = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))) + (
    "\u2028\u2029\u202f\u205f\u3000"
)


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise Failure(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if not 0 <= offset < len(text):
        if offset == 0:
            return -1
        raise Failure(f"index out of range: {offset}")
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return text.rfind(part)
    if not part:
        return offset
    if not 0 <= offset < len(text):
        if offset == 0:
            return -1
        raise Failure(f"index out of range: {offset}")
    return text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    count = text.count(old) if limit < 0 else min(text.count(old), limit)
    bounded(len(text) + count * len(new))
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise Failure(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise Failure(f"index out of range: {start}")
    if end is not None and not 0 <= end <= len(text):
        raise Failure(f"index out of range: {end}")
    return text[start:end]


_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TO_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def _join(texts: list[Any], separator: str = "") -> str:
    for one in texts:
        if not isinstance(one, str):
            raise Failure(f"join: invalid input: {one}")
    bounded(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'


def _found(text: str, pattern: str) -> Any:
    try:
        return patterns.compiled(pattern).finditer(text)
    except patterns.NoPattern as error:
        take(REFUSED_PATTERN)
        raise Failure(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    return next((str(match[0]) for match in _found(text, pattern)), "")


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    every = []
    for match in _found(text, pattern):
        take(_MATCH + len(text) // 256)  # each may look at all that is left of the text
        every.append(str(match[0]))
    return every if limit < 0 else every[:limit]


LIBRARY: Functions = {
    "charAt": (member("string_char_at_int", STRING, _char_at, STRING, INT),),
    "indexOf": (
        member("string_index_of_string", INT, _index_of, STRING, STRING),
        member("string_index_of_string_int", INT, _index_of, STRING, STRING, INT),
    ),
    "lastIndexOf": (
        member("string_last_index_of_string", INT, _last_index_of, STRING, STRING),
        member("string_last_index_of_string_int", INT, _last_index_of, STRING, STRING, INT),
    ),
    "lowerAscii": (
        member("string_lower_ascii", STRING, lambda text: text.translate(_TO_LOWER), STRING),
    ),
    "upperAscii": (
        member("string_upper_ascii", STRING, lambda text: text.translate(_TO_UPPER), STRING),
    ),
    "replace": (
        member("string_replace_string_string", STRING, _replace, STRING, STRING, STRING),
        member("string_replace_string_string_int", STRING, _replace, STRING, STRING, STRING, INT),
    ),
    "split": (
        member("string_split_string", _STRINGS, _split, STRING, STRING),
        member("string_split_string_int", _STRINGS, _split, STRING, STRING, INT),
    ),
    "substring": (
        member("string_substring_int", STRING, _substring, STRING, INT),
        member("string_substring_int_int", STRING, _substring, STRING, INT, INT),
    ),
    "trim": (member("string_trim", STRING, lambda text: text.strip(_SPACE), STRING),),
    "join": (
        member("list_join", STRING, _join, _STRINGS),
        member("list_join_string", STRING, _join, _STRINGS, STRING),
    ),
    "strings.quote": (function("strings_quote", STRING, _quote, STRING),),
    "format": (member("string_format", STRING, formatting.formatted, STRING, list_of(DYN)),),
    "find": (member("string_find_string", STRING, _find, STRING, STRING),),
    "findAll": (
        member("string_find_all_string", _STRINGS, _find_all, STRING, STRING),
        member("string_find_all_string_int", _STRINGS, _find_all, STRING, STRING, INT),
    ),
}
