"""Go's words for JSON that does not parse, which clients show to their users.

orjson names the same mistakes in words of its own; what both agree on is the place.
"""

import json

_END = ("Input is a zero-length", "input data is empty", "unexpected end of data")
_KEY = "looking for beginning of object key string"
_VALUE = "looking for beginning of value"
_CONTEXTS = (
    ("expected a JSON value", _VALUE),
    ("expected a string key", _KEY),
    ("expected ':' after key", "after object key"),
    ("unexpected content after document", "after top-level value"),
    ("expected ',' or '}'", "after object key:value pair"),
    ("expected ',' or ']'", "after array element"),
    ("unexpected control character in string", "in string literal"),
)


def syntax_error(body: bytes, message: str, position: int) -> str:
    """``invalid character 'x' looking for beginning of value``; what orjson says if Go has no
    such case. `position` counts characters."""
    if message.startswith(_END):
        return "unexpected end of JSON input"
    text = body.decode(errors="replace")
    if message.startswith("trailing comma"):
        rest = text[position + 1 :].lstrip()
        return _invalid(rest[:1], _KEY if rest.startswith("}") else _VALUE)
    if message.startswith("str is not valid UTF-8"):  # orjson looks at that before all else
        return _first_mistake(text)
    for said, context in _CONTEXTS:
        if said in message:
            return _invalid(text[position : position + 1], context)
    return message


def _first_mistake(text: str) -> str:
    """The syntax error of a text whose bytes are no UTF-8, which Go does not mind."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _invalid(text[error.pos : error.pos + 1], _VALUE)
    return "invalid UTF-8 in string literal"


def _invalid(char: str, context: str) -> str:
    if not char:
        return "unexpected end of JSON input"
    shown = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, char)
    if not char.isprintable() and shown == char:
        shown = f"\\x{ord(char):02x}"
    return f"invalid character '{shown}' {context}"
