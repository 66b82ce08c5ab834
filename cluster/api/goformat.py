"""How Go prints values in error texts, and reads them."""

import orjson

from kubeherd.cluster.api.jsontypes import JsonValue

MAX_SHOWN = 8192
"""So many characters of a value are shown; a longer one ends in ``...``."""


_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def parse_bool(text: str) -> bool | None:
    """`strconv.ParseBool`; None for what that cannot read."""
    return _BOOLEANS.get(text)


def is_true(text: str) -> bool:
    """`strconv.ParseBool`; what that cannot read is false."""
    return parse_bool(text) is True


def cut(text: str) -> str:
    """`text`, or its beginning where it is too long to show."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def value(item: JsonValue) -> str:
    """The ``<v>`` of ``Invalid value: <v>``: strings quoted, scalars bare, else compact JSON."""
    if isinstance(item, str):
        return quoted(cut(item))
    if item is None:
        return "null"
    if isinstance(item, bool | int | float):
        return plain(item)
    return cut(orjson.dumps(item).decode())


def quoted(text: str) -> str:
    """Go's ``%q`` for printable and control characters."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for char in text:
        escape = _ESCAPES.get(char)
        if escape is not None:
            out.append(escape)
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b",
    "\f": "\\f", "\v": "\\v",
}  # fmt: skip


def plain(item: JsonValue) -> str:
    """Go's ``%v`` of a decoded JSON value: ``map[a:b c:<nil>]`` with sorted keys, ``[x y]``."""
    if item is None:
        return "<nil>"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, dict):
        return "map[" + " ".join(f"{key}:{plain(item[key])}" for key in sorted(item)) + "]"
    if isinstance(item, list):
        return "[" + " ".join(plain(entry) for entry in item) + "]"
    return str(item)


def string_slice(items: list[str]) -> str:
    """Go's ``%#v`` of a []string: ``[]string{"a", "b"}``."""
    return "[]string{" + ", ".join(quoted(item) for item in items) + "}"
