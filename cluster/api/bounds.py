"""How much a request body may hold, whatever its encoding.

All work on a body goes by the number of its values, and 3 MiB have room for more than a million.
The limit is checked before or while a body is decoded, because already making and freeing a
million empty lists takes a second in which the interpreter does nothing else.
"""

import re
from collections.abc import Callable
from typing import Final

from kubeherd.cluster.api.errors import RequestEntityTooLarge
from kubeherd.cluster.api.jsontypes import JsonValue

MAX_VALUES: Final = 100_000
"""How many values a body may have. The largest known manifests (definitions of custom resources of
1 MB) have less than half of that; an object of 1.5 MiB, the most that is stored, seldom more."""

_JSON_TOKENS = re.compile(rb'[\[{,]+|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""What begins a value, and strings, in which the same characters mean nothing. An unfinished string
reaches to the end, so that no quote in it is tried as the beginning of another."""


class TooManyValues(ValueError):
    """A decoder has met more than `MAX_VALUES` values."""

    def refusal(self) -> RequestEntityTooLarge:
        """The 413 for it."""
        return RequestEntityTooLarge(
            f"Request entity too large: limit is {MAX_VALUES} values in a body"
        )


def check_json(body: bytes) -> None:
    """RequestEntityTooLarge if a JSON body has too many values; it need not be well-formed."""
    if len(body) <= MAX_VALUES or _marks(body) <= MAX_VALUES:
        return
    count = 0
    for token in _JSON_TOKENS.finditer(body):
        start, end = token.span()
        if body[start] != _QUOTE:
            count += end - start
            if count > MAX_VALUES:
                raise TooManyValues().refusal()


_QUOTE = ord('"')


def _marks(body: bytes) -> int:
    """At least the number of values, because each begins its list or object or follows a comma."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def msgpack_hooks(body: bytes) -> dict[str, Callable[[JsonValue], JsonValue]]:
    """Hooks of a msgpack decoder that raise `TooManyValues` while it makes too many containers;
    none for a body that has no room for them."""
    if len(body) <= MAX_VALUES:
        return {}
    count = 0

    def counted(value: JsonValue) -> JsonValue:
        nonlocal count
        count += 1
        if count > MAX_VALUES:
            raise TooManyValues
        return value

    return {"list_hook": counted, "object_hook": counted}


def check_tree(body: bytes, tree: JsonValue) -> None:
    """RequestEntityTooLarge if what was decoded from `body` has too many values."""
    if len(body) <= MAX_VALUES:
        return
    count = 0
    level = [tree]
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise TooManyValues().refusal()
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
