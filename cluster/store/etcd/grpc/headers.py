"""Header blocks of HTTP/2 (HPACK, RFC 7541) without a dynamic table. Pure.

A client that allows no dynamic table gets the same bytes for the same answer, so answers are looked
up by their bytes; what is not known is decoded by hpack.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import msgspec
from hpack import Decoder, HPACKError

from kubeherd.cluster.store.etcd.grpc.frames import Garbled

MAX_BLOCK_BYTES: Final = 65536
"""Of a header block of an answer, before and after decoding."""

_MAX_KNOWN: Final = 64
_KNOWN_BYTES: Final = 512

_PLAIN: Final = 0x00
_SECRET: Final = 0x10
"""How a field is written: not to be put into a table; not by anybody who passes it on."""


class Answer(msgspec.Struct, frozen=True):
    """What gRPC wants to know of a header block. `code` is "" if it has no status."""

    http_status: str
    code: str
    details: str


def encode(fields: Iterable[tuple[str, str]], secrets: Iterable[tuple[str, str]] = ()) -> bytes:
    """A header block: names in lower case, values as they are, none of it compressed."""
    block = bytearray()
    for mark, some in ((_PLAIN, fields), (_SECRET, secrets)):
        for name, value in some:
            block.append(mark)
            for text in (name.encode(), value.encode()):
                block += _length(len(text)) + text
    return bytes(block)


def _length(value: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if value < 0x7F:
        return bytes((value,))
    encoded = bytearray((0x7F,))
    value -= 0x7F
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class AnswerReader:
    """Decodes the header blocks of answers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Answer] = {}

    def read(self, block: bytes) -> Answer:
        """What a block says. Garbled."""
        answer = self._known.get(block)
        if answer is None:
            answer = _decoded(block)
            if len(block) <= _KNOWN_BYTES:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[block] = answer
        return answer


def _decoded(block: bytes) -> Answer:
    decoder = Decoder(MAX_BLOCK_BYTES)
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    try:
        fields = {name: value for name, value, *_ in decoder.decode(block, raw=True)}
    except HPACKError as error:
        raise Garbled(f"headers that cannot be read: {error}") from None
    texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields.items()}
    return Answer(
        http_status=texts.get(":status", ""),
        code=texts.get("grpc-status", ""),
        details=unquote(texts.get("grpc-message", "")),
    )
