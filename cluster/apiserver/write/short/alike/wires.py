"""Strings in JSON and in msgpack, written and read in the midst of a body. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonValue

_PLAIN: Final = re.compile(rb"[ !#-\[\]-\xff]*")
"""What stands in a JSON string as it is."""


def json_token(text: bytes) -> bytes:
    """A string, in UTF-8, as JSON."""
    if _PLAIN.fullmatch(text) is not None:
        return b'"%b"' % text
    return orjson.dumps(text.decode())


def json_tokens(texts: Sequence[bytes]) -> list[bytes]:
    """`json_token` of each of some strings."""
    if _PLAIN.fullmatch(b"".join(texts)) is not None:
        return [b'"%b"' % text for text in texts]
    return [*map(json_token, texts)]


def msgpack_token(text: bytes) -> bytes:
    """A string, in UTF-8, as msgpack; of at most 64 KiB."""
    size = len(text)
    if size < 32:
        return b"%c%b" % (0xA0 | size, text)
    if size < 256:
        return b"\xd9%c%b" % (size, text)
    return b"\xda%b%b" % (size.to_bytes(2, "big"), text)


Read = Callable[[bytes, int], tuple[bytes, int] | None]


def _json_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """The string without escapes that stands at a place in JSON, and where it ends."""
    end = body.find(b'"', at + 1)
    text = body[at + 1 : end]
    if body[at : at + 1] != b'"' or end < 0 or _PLAIN.fullmatch(text) is None:
        return None
    return text, end + 1


def _msgpack_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """The string that stands at a place in msgpack, and where it ends."""
    head = body[at : at + 3]
    if len(head) < 3:
        return None
    if head[0] & 0xE0 == 0xA0:
        start, size = at + 1, head[0] & 0x1F
    elif head[0] == 0xD9:
        start, size = at + 2, head[1]
    elif head[0] == 0xDA:
        start, size = at + 3, int.from_bytes(head[1:3], "big")
    else:
        return None
    return body[start : start + size], start + size


class Wire(msgspec.Struct, frozen=True, eq=False):
    """A form of bodies."""

    token: Callable[[bytes], bytes]
    """Writes a string."""
    read: Read
    """Reads a string."""
    decode: Callable[[bytes], JsonValue]
    """Decodes a body that has been decoded before."""


JSON: Final = Wire(json_token, _json_string, orjson.loads)
MSGPACK: Final = Wire(msgpack_token, _msgpack_string, msgspec.msgpack.decode)
