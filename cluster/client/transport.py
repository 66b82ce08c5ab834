"""What the client needs of HTTP, as an interface: real sockets, or the server in the same process.

Invariants: an answer of any status is a `TransportResponse`; `TransportError` means that there was
no (whole) answer, so the request may or may not have been carried out.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus

import msgspec
import orjson

from kubeherd.cluster.api.errors import ApiError, from_status
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.api.jsontypes import JsonValue

JSON = "application/json"
MSGPACK = "application/msgpack"

DEFAULT_TIMEOUT_S = 30.0
_NOT_ENCODED = "/:@!$&'()*+,;=~"
_HARMLESS = re.compile(r"[A-Za-z0-9_.~-]*")
"""What a query holds as it is: nearly all names and values."""


def target(path: str, query: Mapping[str, str] | None) -> str:
    """The target of a request: a decoded path and its query, percent-encoded."""
    encoded = quote(path, safe=_NOT_ENCODED)
    if not query:
        return encoded
    pairs = (f"{_escaped(name)}={_escaped(value)}" for name, value in query.items())
    return f"{encoded}?{'&'.join(pairs)}"


def _escaped(text: str) -> str:
    return text if _HARMLESS.fullmatch(text) else quote_plus(text)


class TransportError(KubeherdError):
    """No answer: refused, reset, timed out, or cut off in the middle."""


class TransportResponse(msgspec.Struct):
    """An answer. Header names are lower case; `content_type` is the header's value as sent."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Transport(Protocol):
    """One identity's way to one API server. Timeouts are real seconds: a network does not run
    faster because the cluster does."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        fence: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """Send a request and read the whole answer; TransportError without one.

        `path` is decoded (not percent-encoded) and without a query; `fence` is the value of the
        header with a leader's term (`cluster.api.private.fence`), "" for none.
        """

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """GET, yielding the body's chunks as they come until the server ends it.

        `timeout_s` bounds the wait for each chunk. Raises ApiError for a status other than 200,
        TransportError when there is no answer or it breaks off.
        """

    async def close(self) -> None:
        """Close all connections; requests under way end with TransportError."""


def _status_tree(response: TransportResponse) -> JsonValue:
    """The body's tree, in whichever form the server wrote it; None if it is neither."""
    try:
        if response.content_type.startswith(MSGPACK):
            return msgspec.msgpack.decode(response.body)
        return orjson.loads(response.body)
    except (orjson.JSONDecodeError, msgspec.DecodeError):
        return None


def answer_of(error: ApiError) -> TransportResponse:
    """The reverse of `error_of`: an answer that says what an exception says."""
    return TransportResponse(error.status_code, orjson.dumps(error.status()))


def error_of(response: TransportResponse) -> ApiError:
    """The exception for an answer with an error status, whatever its body is."""
    tree = _status_tree(response)
    if not isinstance(tree, dict) or tree.get("kind") != "Status":
        text = response.body[:200].decode(errors="replace").strip()
        tree = {"message": text or f"HTTP {response.status}"}
    error = from_status(tree, response.status)
    retry_after = response.headers.get("retry-after", "")
    if retry_after.isdigit() and error.retry_after_s is None:
        error.details = {**(error.details or {}), "retryAfterSeconds": int(retry_after)}
    return error
