"""Strings and bytes as they are written in expressions.

Source: github.com/google/cel-go/parser/unescape.go.
"""

import re

_ESCAPE = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_PLAIN = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


def text(token: str) -> str:
    """The value of a string token; ValueError if an escape is none."""
    raw = token[0] in "rR"
    inner = _unquoted(token[raw:])
    return inner if raw else _ESCAPE.sub(_character, inner)


def octets(token: str) -> bytes:
    """The value of a bytes token; ValueError if an escape is none."""
    prefix = re.match("[bBrR]*", token)
    length = prefix.end() if prefix else 0
    raw = "r" in token[:length].lower()
    inner = _unquoted(token[length:]).replace("\r\n", "\n")
    if raw:
        return inner.encode()
    made, end = b"", 0
    for match in _ESCAPE.finditer(inner):
        made += inner[end : match.start()].encode() + _octet(match)
        end = match.end()
    return made + inner[end:].encode()


def _unquoted(token: str) -> str:
    quote = 3 if token[:3] in ('"""', "'''") else 1
    return token[quote:-quote].replace("\r\n", "\n").replace("\r", "\n")


def _character(match: re.Match[str]) -> str:
    two, four, eight, octal, plain = match.groups()
    if plain is not None:
        if plain not in _PLAIN:
            raise ValueError("unable to unescape string")
        return _PLAIN[plain]
    number = int(octal, 8) if octal else int(two or four or eight, 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise ValueError("unable to unescape string")
    return chr(number)


def _octet(match: re.Match[str]) -> bytes:
    two, four, eight, octal, plain = match.groups()
    if four or eight or (plain is not None and plain not in _PLAIN):
        raise ValueError("unable to unescape string")
    if plain is not None:
        return _PLAIN[plain].encode()
    return bytes([int(octal, 8) if octal else int(two, 16)])
