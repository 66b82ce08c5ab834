"""HTTP/1.1 as a client speaks it: requests as bytes, answers out of bytes. Pure.

Source: RFC 9112. Invariant: an answer of which it is doubtful where it ends (two lengths, a length
beside an encoding, an encoding other than chunked) is refused, so that nothing is ever taken for
the answer to the next request.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

import msgspec

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_LINE_BYTES: Final = 4096
"""Of the size of a chunk, with its extensions, and of a trailer."""
_BLANK: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?\r\n")
_HEADER: Final = re.compile(r"^([^:\s]+):[ \t]*([^\r\n]*)\r\n", re.MULTILINE)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_WITHOUT_BODY: Final = frozenset({204, 304})
_SWITCHING: Final = 101
_FIRST_FINAL: Final = 200


class Damaged(Exception):
    """What came is no answer in HTTP/1.1; the text says why."""


class Unfit(ValueError):
    """A header that would be read as something else: there is a line break in it."""


class Head(msgspec.Struct, frozen=True):
    """The beginning of an answer; `headers` by names in lower case."""

    status: int
    headers: Mapping[str, str]


class _Part(Enum):
    """What comes next."""

    HEAD = auto()
    LENGTH = auto()
    UNTIL_END = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    NOTHING = auto()


_BARE: Final = frozenset({_Part.LENGTH, _Part.UNTIL_END})
"""What comes is the body itself."""


def request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it goes over the wire. `target` is encoded; Unfit for a header that cannot be.

    Any but a GET says how long its body is, if there is none, too.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
    if body is not None or method != "GET":
        lines.append(f"Content-Length: {len(body or b'')}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise Unfit(f"a line break in a header of {method} {target}")
    return head.encode() + _BLANK + (body or b"")


class AnswerReader:
    """Reads one answer, from the first byte to the last."""

    __slots__ = ("_kept", "_left", "_part", "head", "reusable")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.reusable = True
        """Whether another request may follow on the connection, once the answer is complete."""
        self._part = _Part.HEAD
        self._kept = b""
        self._left = 0

    @property
    def complete(self) -> bool:
        """Whether the whole answer is there."""
        return self._part is _Part.NOTHING

    def feed(self, data: bytes) -> bytes:
        """The part of the body that is in the next bytes of the connection; Damaged."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        while self._part is _Part.HEAD:
            end = data.find(_BLANK, 0, MAX_HEAD_BYTES)
            if end < 0:
                if len(data) >= MAX_HEAD_BYTES:
                    raise Damaged("headers without an end")
                self._kept = data
                return b""
            self._begin(data[: end + 2].decode("latin-1"))
            data = data[end + len(_BLANK) :]
        return self._bare(data) if self._part in _BARE else self._rest(data)

    def end(self) -> None:
        """The connection ended; Damaged if the answer did not."""
        if self._part is _Part.UNTIL_END:
            self._part = _Part.NOTHING
        elif self._part is not _Part.NOTHING:
            raise Damaged("the connection ended in the middle of an answer")

    def _begin(self, text: str) -> None:
        matched = _STATUS_LINE.match(text)
        if matched is None:
            raise Damaged("no status line")
        status = int(matched[2])
        headers = _headers(text, matched.end())
        if status == _SWITCHING:
            raise Damaged("another protocol, for which nobody asked")
        if status < _FIRST_FINAL:
            return
        self.head = Head(status, headers)
        persistent = "close" if matched[1] == "0" else "keep-alive"
        self.reusable = headers.get("connection", persistent).lower() == "keep-alive"
        self._frame(status, headers)

    def _frame(self, status: int, headers: Mapping[str, str]) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if encoding is not None and (length is not None or encoding.lower() != "chunked"):
            raise Damaged("it is not clear where the answer ends")
        if status in _WITHOUT_BODY:
            self._part = _Part.NOTHING
        elif encoding is not None:
            self._part = _Part.CHUNK_SIZE
        elif length is None:
            self._part, self.reusable = _Part.UNTIL_END, False
        elif length.isascii() and length.isdigit():
            self._left = int(length)
            self._part = _Part.LENGTH if self._left else _Part.NOTHING
        else:
            raise Damaged("a length that is no number")

    def _bare(self, data: bytes) -> bytes:
        if self._part is _Part.LENGTH:
            self._left -= len(data)
            if self._left < 0:
                raise Damaged("more than the answer has")
            if not self._left:
                self._part = _Part.NOTHING
        return data

    def _rest(self, data: bytes) -> bytes:
        """What chunks hold; nothing may follow a body that is complete."""
        body: list[bytes] = []
        at = 0
        while at < len(data):
            if self._part is _Part.NOTHING:
                raise Damaged("more than the answer has")
            if self._part is _Part.CHUNK:
                piece = data[at : at + self._left]
                body.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.CHUNK_END
                continue
            end = data.find(b"\r\n", at, at + MAX_LINE_BYTES)
            if end < 0:
                if len(data) - at >= MAX_LINE_BYTES:
                    raise Damaged("a line without an end")
                self._kept = data[at:]
                break
            self._line(data[at:end])
            at = end + 2
        return body[0] if len(body) == 1 else b"".join(body)

    def _line(self, line: bytes) -> None:
        """A line between chunks."""
        if self._part is _Part.CHUNK_SIZE:
            matched = _CHUNK.fullmatch(line)
            if matched is None:
                raise Damaged("the size of a chunk is no number")
            self._left = int(matched[1], 16)
            self._part = _Part.CHUNK if self._left else _Part.TRAILER
        elif self._part is _Part.CHUNK_END:
            if line:
                raise Damaged("a chunk is longer than it says")
            self._part = _Part.CHUNK_SIZE
        elif not line:  # the trailers are over; what they say is nothing that a client here reads
            self._part = _Part.NOTHING


def _headers(text: str, at: int) -> dict[str, str]:
    """The header lines of a text, from a place on."""
    pairs = _HEADER.findall(text, at)
    if len(pairs) != text.count("\n", at):
        raise Damaged("a header that is none")
    headers: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value.rstrip(" \t")
    return headers
