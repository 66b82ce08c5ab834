"""Single strings within a JSON or msgpack document, written and read in place. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonValue

_PLAIN: Final = re.compile(rb"[ !#-\[\]-\xff]*")
"""A text that needs no escapes in JSON."""


def json_token(text: bytes) -> bytes:
    """A text in UTF-8 as a JSON string."""
    if _PLAIN.fullmatch(text) is not None:
        return b'"%b"' % text
    return orjson.dumps(text.decode())


def json_tokens(texts: Sequence[bytes]) -> list[bytes]:
    """`json_token` of each text."""
    if _PLAIN.fullmatch(b"".join(texts)) is not None:
        return [b'"%b"' % text for text in texts]
    return [*map(json_token, texts)]


def msgpack_token(text: bytes) -> bytes:
    """A text in UTF-8, of less than 64 KiB, as a msgpack string."""
    size = len(text)
    if size < 32:
        return b"%c%b" % (0xA0 | size, text)
    if size < 256:
        return b"\xd9%c%b" % (size, text)
    return b"\xda%b%b" % (size.to_bytes(2, "big"), text)


Read = Callable[[bytes, int], tuple[bytes, int] | None]
"""Reads the string at an offset of a document: its text, and the offset behind it; None if there is
no string that can be read in place."""


def _json_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """As `Read`, of JSON; a string with escapes cannot be read in place."""
    end = body.find(b'"', at + 1)
    text = body[at + 1 : end]
    if body[at : at + 1] != b'"' or end < 0 or _PLAIN.fullmatch(text) is None:
        return None
    return text, end + 1


def _msgpack_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """As `Read`, of msgpack."""
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
    """An encoding of request bodies."""

    token: Callable[[bytes], bytes]
    """Encodes a text."""
    read: Read
    decode: Callable[[bytes], JsonValue]
    """Decodes a body that is known to be valid."""


JSON: Final = Wire(json_token, _json_string, orjson.loads)
MSGPACK: Final = Wire(msgpack_token, _msgpack_string, msgspec.msgpack.decode)
