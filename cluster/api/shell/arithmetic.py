"""Integer expressions: `$((...))` and `expr`. Source: POSIX.1-2017, 2.6.4 and expr."""

import re
from collections.abc import Callable
from typing import Final

from kubeherd.cluster.api.shell.tree import Unknown

MAX_TOKENS: Final = 100
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+)|\$?\{?(?P<name>[A-Za-z_]\w*)\}?|(?P<operator>[-+*/%()]|[=!<>]=|[<>]))"
)
_LEVELS: Final = (frozenset({"==", "!=", "<", "<=", ">", ">="}), frozenset("+-"), frozenset("*/%"))
_LIMIT: Final = 2**63


def evaluate(text: str, value: Callable[[str], str]) -> int:
    """The value of an expression; `value` tells that of a variable. `Unknown`."""
    tokens: list[str] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or len(tokens) >= MAX_TOKENS:
            raise Unknown
        name = found["name"]
        tokens.append(str(integer(value(name))) if name else found[found.lastgroup or 0])
        at = found.end()
    return of_tokens(tokens)


def of_tokens(tokens: list[str]) -> int:
    """The value of an expression that is taken apart already; `Unknown`."""
    parser = _Parser(tokens)
    result = parser.level(0)
    if parser.at != len(tokens):
        raise Unknown
    return result


def integer(text: str) -> int:
    """A decimal integer; `Unknown` for any other text."""
    if not re.fullmatch(r"-?\d{1,18}", text.strip()):
        raise Unknown
    return int(text)


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self.at = 0
        self._depth = 0

    def _peek(self) -> str:
        return self._tokens[self.at] if self.at < len(self._tokens) else ""

    def level(self, number: int) -> int:
        if number == len(_LEVELS):
            return self._atom()
        left = self.level(number + 1)
        while (operator := self._peek()) in _LEVELS[number]:
            self.at += 1
            left = _apply(operator, left, self.level(number + 1))
        return left

    def _atom(self) -> int:
        word = self._peek()
        self.at += 1
        self._depth += 1
        if not word or self._depth > MAX_TOKENS:
            raise Unknown
        if word == "-":
            return -self._atom()
        if word == "(":
            inner = self.level(0)
            if self._peek() != ")":
                raise Unknown
            self.at += 1
            return inner
        return integer(word)


def _apply(operator: str, left: int, right: int) -> int:
    match operator:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "*":
            result = left * right
        case "/" | "%":
            if not right:
                raise Unknown
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            result = quotient if operator == "/" else left - quotient * right
        case _:
            return int(_compared(operator, left, right))
    if abs(result) >= _LIMIT:
        raise Unknown
    return result


def _compared(operator: str, left: int, right: int) -> bool:
    return {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[operator]
