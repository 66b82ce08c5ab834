"""The JSONPath of printer columns, scale and selectable fields.

Source: k8s.io/client-go/util/jsonpath, as far as single paths go: ``.a.b``, ``['a']``, ``[0]``,
``[-1]``, ``[*]``, ``[?(@.type=="Ready")]``, ``\\.`` inside a name. Keys that are missing find
nothing.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from kubeherd.cluster.api.jsontypes import JsonValue

_Step = Callable[[JsonValue], Iterator[JsonValue]]
_MAX_CHARS: Final = 1024
_TOKEN = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\\])+)|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]|\.(?P<every>\*)"""
    r"""|\['(?P<quoted>(?:\\.|[^'\\])*)'\]|\[\?\((?P<filter>[^\]]*)\)\]"""
)
_FILTER = re.compile(
    r"""\s*@(?P<path>[^=!<>\s]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*"""
)


def find(path: str, tree: JsonValue) -> list[JsonValue]:
    """What a path leads to, in order; ValueError if it is none."""
    found: list[JsonValue] = [tree]
    for step in steps(path):
        found = [value for item in found for value in step(item)]
    return found


def simple(path: str) -> list[str]:
    """The names of a path in dot notation: ``.spec.replicas``."""
    return path.removeprefix(".").split(".")


@lru_cache(maxsize=256)
def steps(path: str) -> tuple[_Step, ...]:
    """The steps of a path; ValueError if it is none."""
    if path == ".":
        return ()
    out, at = [], 0
    while at < len(path):
        match = _TOKEN.match(path, at)
        if match is None or len(path) > _MAX_CHARS:
            raise ValueError(f"unrecognized JSONPath {path!r}")
        out.append(_step(match))
        at = match.end()
    return tuple(out)


def _step(match: re.Match[str]) -> _Step:
    if match["index"] is not None:
        return _element(int(match["index"]))
    if match["all"] or match["every"] or match["name"] == "*":
        return _children
    if match["filter"] is not None:
        return _filter(match["filter"])
    text = match["name"] if match["name"] is not None else match["quoted"]
    return _member(re.sub(r"\\(.)", r"\1", text))


def _member(name: str) -> _Step:
    def step(value: JsonValue) -> Iterator[JsonValue]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _element(index: int) -> _Step:
    def step(value: JsonValue) -> Iterator[JsonValue]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _children(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _filter(text: str) -> _Step:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(f"unrecognized filter {text!r}")
    path, operator, wanted = match["path"], match["op"], _literal(match["value"])

    def step(value: JsonValue) -> Iterator[JsonValue]:
        for item in _children(value):
            found = find(path, item)
            if found and (operator is None or _compare(found[0], operator, wanted)):
                yield item

    return step


def _literal(text: str | None) -> JsonValue:
    if text is None:
        return None
    if text[0] in "\"'":
        return text.strip(text[0])
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise ValueError(f"unrecognized literal {text!r}") from None


def _compare(left: JsonValue, operator: str, right: JsonValue) -> bool:
    if operator in ("==", "!="):
        return bool(left == right) == (operator == "==")
    if isinstance(left, str) != isinstance(right, str) or isinstance(left, dict | list | None):
        return False
    results = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return bool(results[operator])
