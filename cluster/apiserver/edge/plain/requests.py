"""Plain requests: most of what clients send, read without an HTTP library. Pure.

A plain request is one that came whole and alone, in the strictest form of HTTP/1.1: a
known method, an origin-form target without escapes, a line for each header and no header twice, a
body with Content-Length or none. It is for an object, a collection, a private batch or long-poll,
and is answered in one piece. All else, and all that is doubtful, is aiohttp's; so two readers never
disagree about where a request ends. Clients that send head and body apart (as Python's http.client
does) have such requests, too, once the rest has come.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

MAX_HEAD_BYTES: Final = 4096
MAX_HEADERS: Final = 64
MAX_PARTIAL_BYTES: Final = 64 * 1024
"""The rest of a request that is larger is not worth waiting for."""
_REQUEST_LINE: Final = re.compile(
    rb"(GET|PUT|POST|PATCH|DELETE) (/[A-Za-z0-9\-._~/:]*)(?:\?([!\x22$-~]*))? HTTP/1\.1\r\n"
)
_HEADER_LINES: Final = re.compile(rb"(?:[A-Za-z0-9\-]+:[ -~]*\r\n)+")
_END: Final = b"\r\n\r\n"
_ROOTS: Final = (b"/api/", b"/apis/", b"/kubeherd/batch")
_STREAMING: Final = re.compile(rb"/(?:watch|log|exec|attach|portforward|proxy)(?:/|$)")
_POLL: Final = re.compile(rb"(?:^|&)poll=1(?:&|$)")
_ESCAPED_NAME: Final = re.compile(rb"(?:^|&)[^=&]*%")
"""In a query: a parameter whose name can be any, ``watch`` too."""
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
    """The head and a part of the body of what may become a plain request of so many bytes."""

    size: int


class _Head(msgspec.Struct, frozen=True):
    """What header lines say: `length` of the body in bytes, and whether nothing is `unusual`."""

    headers: Mapping[str, str]
    length: int
    unusual: bool


def read(data: bytes) -> Plain | Whole | Partial | None:
    """What came while a request was awaited; None: it is not known to be one whole request, nor
    the beginning of a plain one."""
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
    """Whether it is certain that a watch is asked for as a long-poll: nothing else can be meant."""
    return query.count(b"poll") == 1 and _POLL.search(query) is not None


def _may_stream(path: bytes, query: bytes, polls: bool) -> bool:
    """Whether the answer might come in more than one piece."""
    return (
        (b"watch" in query and not polls)
        or b"follow" in query
        or (b"%" in query and _ESCAPED_NAME.search(query) is not None)
        or _STREAMING.search(path) is not None
    )


@lru_cache(maxsize=256)
def _head(lines: bytes) -> _Head | None:
    """Header lines; None if they are not in the strictest form, or do not say where the body ends.
    A client sends the same again and again."""
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
