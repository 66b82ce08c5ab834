"""Reading plain requests, which are most of what clients send, without an HTTP library. Pure.

A plain request has arrived completely, with nothing after it, and has the strictest form of
HTTP/1.1: a known method, an origin-form target without escapes in its path, one line for each
header and no header twice, a body with Content-Length or none. It is for an object, a collection, a
private batch or long-poll, and its answer is no stream. All else, and all that is doubtful, is left
to aiohttp, so that no two parsers disagree about where a request ends. Clients that send head and
body in two pieces (as Python's http.client does) send plain requests, too: the rest is awaited.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

MAX_HEAD_BYTES: Final = 4096
MAX_HEADERS: Final = 64
MAX_PARTIAL_BYTES: Final = 64 * 1024
"""Larger requests that arrive in pieces are left to aiohttp."""
_REQUEST_LINE: Final = re.compile(
    rb"(GET|PUT|POST|PATCH|DELETE) (/[A-Za-z0-9\-._~/:]*)(?:\?([!\x22$-~]*))? HTTP/1\.1\r\n"
)
_HEADER_LINES: Final = re.compile(rb"(?:[A-Za-z0-9\-]+:[ -~]*\r\n)+")
_END: Final = b"\r\n\r\n"
_ROOTS: Final = (b"/api/", b"/apis/", b"/kubeherd/batch")
_STREAMING: Final = frozenset((b"watch", b"log", b"exec", b"attach", b"portforward", b"proxy"))
"""Segments of paths."""
_POLL: Final = re.compile(rb"(?:^|&)poll=1(?:&|$)")
_ESCAPED_NAME: Final = re.compile(rb"(?:^|&)[^=&]*%")
"""A query parameter whose name is escaped: it may be ``watch``."""
_FRAMING: Final = frozenset({"transfer-encoding", "trailer"})
_UNUSUAL: Final = frozenset({"upgrade", "expect", "content-encoding"})
_IMPERSONATE: Final = "impersonate-"


class Plain(msgspec.Struct, frozen=True):
    """A plain request; `headers` by names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    waits: bool
    """Whether it is a long-poll: then it is given up when its client goes away."""


class Whole(msgspec.Struct, frozen=True):
    """Exactly one whole request, but not a plain one."""


WHOLE: Final = Whole()


class Partial(msgspec.Struct, frozen=True):
    """The head and a part of the body of what will be a plain request."""

    size: int
    """Bytes of the whole request."""


class _Head(msgspec.Struct, frozen=True):
    """What header lines say."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    length: int
    """Bytes of the body."""
    unusual: bool
    """Whether there is a header that a plain request does not have."""


def read(data: bytes) -> Plain | Whole | Partial | None:
    """What has arrived while a request is awaited; None if it cannot be told whether that is one
    whole request, or the beginning of a plain one."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        return None
    end = data.find(_END, line.end() - 2, MAX_HEAD_BYTES)
    if end < 0:
        return None
    head = _head(data[line.end() : end + 2])
    if head is None:
        return None
    method, path, query = line.groups()
    unusual = head.unusual or not path.startswith(_ROOTS)
    size = end + len(_END) + head.length
    if len(data) != size:
        begun = not unusual and len(data) < size <= MAX_PARTIAL_BYTES
        return Partial(size) if begun else None
    if unusual:
        return WHOLE
    polls = query is not None and b"poll" in query and _polls(query)
    if _may_stream(path, query or b"", polls):
        return WHOLE
    return Plain(
        method.decode(),
        path.decode(),
        "" if query is None else query.decode(),
        head.headers,
        data[end + len(_END) :],
        polls,
    )


def _polls(query: bytes) -> bool:
    """Whether a query certainly asks for a long-poll instead of a watch stream."""
    return query.count(b"poll") == 1 and _POLL.search(query) is not None


def _may_stream(path: bytes, query: bytes, polls: bool) -> bool:
    """Whether the answer may be a stream."""
    if not _STREAMING.isdisjoint(path.split(b"/")):
        return True
    return bool(query) and (
        (b"watch" in query and not polls)
        or b"follow" in query
        or (b"%" in query and _ESCAPED_NAME.search(query) is not None)
    )


@lru_cache(maxsize=256)
def _head(lines: bytes) -> _Head | None:
    """Header lines; None if they do not have the strictest form, or do not say where the body ends.
    They are cached, because a client sends the same lines with each request."""
    if _HEADER_LINES.fullmatch(lines) is None:
        return None
    pairs = [line.split(":", 1) for line in lines.decode().split("\r\n")[:-1]]
    headers = {name.lower(): value.strip(" ") for name, value in pairs}
    length = headers.get("content-length", "0")
    if len(pairs) > MAX_HEADERS or len(headers) != len(pairs):
        return None
    if not _FRAMING.isdisjoint(headers) or not _is_length(length):
        return None
    unusual = (
        "host" not in headers
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
        or not _UNUSUAL.isdisjoint(headers)
        or any(name.startswith(_IMPERSONATE) for name in headers)
    )
    return _Head(headers, int(length), unusual)


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
