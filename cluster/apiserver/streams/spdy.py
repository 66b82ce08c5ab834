"""SPDY/3.1 as far as Kubernetes' clients speak it: frames to bytes and back. Pure.

Source: the SPDY protocol, draft 3.1; Kubernetes v1.36 uses no flow control, priorities or settings
of it. Header blocks of a connection share one compression state in each direction. Invariant: a
frame, a header block and a text of a peer are bounded.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

MAX_FRAME_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
_VERSION: Final = 0x8003
_HEAD_BYTES: Final = 8
_STREAM_MASK: Final = 0x7FFFFFFF
_FIN: Final = 1

_WORDS: Final = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
]
_TAIL: Final = (
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
)
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,"
    "image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = (
    b"".join(struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS, *_TAIL))
    + _TEXT.encode()
)
"""With which both sides begin to compress headers."""


class Kind(IntEnum):
    """Types of frames; all others are ignored."""

    DATA = 0
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6


class Frame(NamedTuple):
    """One frame of the peer. `stream` is the number of the ping for PING."""

    kind: Kind
    stream: int
    fin: bool = False
    data: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1, or says too much at once."""


class Decoder:
    """Bytes of the peer to frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes; SpdyError where they make no sense."""
        self._buffer += data
        while len(self._buffer) >= _HEAD_BYTES:
            first, rest = struct.unpack_from(">II", self._buffer)
            length = rest & 0xFFFFFF
            if length > MAX_FRAME_BYTES:
                raise SpdyError("the frame is too long")
            if len(self._buffer) < _HEAD_BYTES + length:
                return
            payload = bytes(self._buffer[_HEAD_BYTES : _HEAD_BYTES + length])
            del self._buffer[: _HEAD_BYTES + length]
            frame = self._frame(first, bool(rest >> 24 & _FIN), payload)
            if frame is not None:
                yield frame

    def _frame(self, first: int, fin: bool, payload: bytes) -> Frame | None:
        if not first >> 31:
            return Frame(Kind.DATA, first & _STREAM_MASK, fin, payload)
        if first >> 16 != _VERSION:
            raise SpdyError("the version is not 3")
        try:
            kind = Kind(first & 0xFFFF)
            (number,) = struct.unpack_from(">I", payload)
        except (ValueError, struct.error):
            return None
        if kind is Kind.PING:
            return Frame(kind, number)
        headers = self._read_headers(payload[10:]) if kind is Kind.SYN_STREAM else {}
        return Frame(kind, number & _STREAM_MASK, fin, b"", headers)

    def _read_headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._headers.decompress(block, MAX_HEADER_BYTES)
            if self._headers.unconsumed_tail:
                raise SpdyError("the headers are too long")
            (count,) = struct.unpack_from(">I", plain)
            texts, at = [], 4
            for _ in range(2 * count):
                (length,) = struct.unpack_from(">I", plain, at)
                texts.append(plain[at + 4 : at + 4 + length].decode())
                at += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"the headers cannot be read: {error}") from None
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


class Encoder:
    """Frames of the server to bytes."""

    def __init__(self) -> None:
        self._headers = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """The stream that the peer began is accepted; there are no headers to say."""
        block = self._headers.compress(struct.pack(">I", 0))
        block += self._headers.flush(zlib.Z_SYNC_FLUSH)
        return _control(Kind.SYN_REPLY, struct.pack(">I", stream) + block)

    def ping(self, number: int) -> bytes:
        """The answer to a ping of the peer."""
        return _control(Kind.PING, struct.pack(">I", number))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """Data of a stream; `fin`: the last of it."""
        return struct.pack(">II", stream, fin << 24 | len(data)) + data


def _control(kind: Kind, payload: bytes) -> bytes:
    return struct.pack(">HHI", _VERSION, kind, len(payload)) + payload
