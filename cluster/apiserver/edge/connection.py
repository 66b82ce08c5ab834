"""One client connection: who it is, how long it may be silent, how much it may leave unread.

Invariants: the certificate is read once; a connection that never sends a request ends after the
header timeout, an idle one after the idle timeout (aiohttp's keep-alive timer), one that does not
read what it is sent after the write timeout; until then at most `_WRITE_BUFFER_BYTES` wait for it
besides the piece that is being written. The times are those of Kubernetes (v1.36,
SecureServingInfo.Serve) and real seconds: clients do not obey ``--speed``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import structlog
from aiohttp import ClientError
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.apiserver.access.authn import NOBODY, REFUSED, Identity, identity_of
from kubeherd.cluster.apiserver.edge.joined import Body, pieces
from kubeherd.cluster.apiserver.edge.messages import LOOPBACK
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.edge.routing import METHOD_TEXT, escaped_target
from kubeherd.cluster.apiserver.edge.tls import problem_of

IDLE_TIMEOUT_S = 90.0
HEADER_TIMEOUT_S = 32.0
"""From each of accept, TLS handshake and first request to the next."""

WRITE_TIMEOUT_S = 60.0
_WRITE_BUFFER_BYTES = 64 * 1024
PIECE_BYTES = 128 * 1024
"""So much is encrypted at a time of an answer to a client that may not be reading."""
_PIECES_AT_ONCE = 8
"""About two milliseconds."""

_WHY_CHARACTERS = 200
_MAPPED = "::ffff:"
"""Before an IPv4 address on a socket that takes both kinds."""

_log = structlog.get_logger(__name__)


class Connection(RequestHandler):
    """One client connection: knows its user, and stops the watch that outlives its client."""

    __slots__ = (
        "_silence",
        "_stall",
        "asked",
        "identity",
        "peer",
        "shared",
        "taken_over",
        "watching",
    )

    def __init__(self, manager: Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.asked = False
        """Whether a request has come."""
        self.identity: Identity = NOBODY
        self.peer = LOOPBACK
        """The address of the client."""
        self.shared = False
        """Whether another server could have got it."""
        self.watching: asyncio.Task[object] | None = None
        """Answers with a watch, and ends with the connection."""
        self.taken_over: Callable[[bytes], None] | None = None
        """Gets what comes from now on, which is no HTTP any more; b"" when the client has gone."""
        self._silence: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        if problem_of(transport.get_extra_info("ssl_object")):
            self.identity = REFUSED
        else:
            self.identity = identity_of(transport.get_extra_info("peercert"))
        if address := transport.get_extra_info("peername"):
            self.peer = str(address[0]).removeprefix(_MAPPED)
        self._silence = self._loop.call_later(HEADER_TIMEOUT_S, self._end_of_silence)

    def connection_lost(self, exc: BaseException | None) -> None:
        watching, self.watching = self.watching, None
        for timer in (self._silence, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        if watching is not None:
            watching.cancel()
        if self.taken_over is not None:
            self.taken_over(b"")

    def data_received(self, data: bytes) -> None:
        """As in aiohttp; a target with bytes beyond ASCII is taken as Go's net/http takes it.

        aiohttp's parser refuses such bytes. Only what certainly begins a request is touched: the
        first bytes of a connection, and those that come while the server waits for a request.
        """
        if self.taken_over is not None:
            if data:
                self.taken_over(data)
            return
        if not data.isascii() and self._awaits_request():
            data = escaped_target(data)
        super().data_received(data)

    @property
    def ending(self) -> bool:
        """Whether it ends after the request that is answered."""
        return bool(self._force_close or self._close)

    def _awaits_request(self) -> bool:
        waiter = getattr(self, "_waiter", None)
        if waiter is not None:
            return not waiter.done()
        return not (self._request_count or self.asked)  # aiohttp has not begun to wait

    @property
    def certificate(self) -> str:
        """The SHA-256 of the client's certificate, in hexadecimal; "" if it shows none."""
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        der = None if tls is None else tls.getpeercert(True)
        return "" if der is None else sha256(der).hexdigest()

    @property
    def silent_until_s(self) -> float:
        """When the time for a first request is over, in the event loop's time."""
        return 0.0 if self._silence is None else self._silence.when()

    def drop(self) -> None:
        """End the connection at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    def _end_of_silence(self) -> None:
        if not self.asked:
            self.drop()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to: it has a time to catch up."""
        super().pause_writing()
        self._stall = self._loop.call_later(WRITE_TIMEOUT_S, self.drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """A Status for what is no HTTP, or for a bug; either way the connection ends."""
        answer = error_response(_wire_error(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot turn into an error")
        response = Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": answer.content_type, "Server": PRODUCT},
        )
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        _log.error("connection_failed", error=repr(kw.get("exc_info", args)))


async def paced(body: Body) -> AsyncIterator[bytes | memoryview]:
    """A body in pieces of `PIECE_BYTES`, with turns for others in between: who reads as fast as it
    is written to would have all of them."""
    for count, piece in enumerate(pieces(body, PIECE_BYTES), 1):
        yield piece
        if count % _PIECES_AT_ONCE == 0:
            await asyncio.sleep(0)


def _wire_error(exc: BaseException | None) -> errors.ApiError:
    """What a client is told about a request that could not be read or handled."""
    if isinstance(exc, BadHttpMethod):
        return errors.MethodNotAllowed(METHOD_TEXT, details={})
    if isinstance(exc, ConnectionError):
        return errors.BadRequest("the client went away")  # which nobody reads
    if isinstance(exc, HttpProcessingError | ClientError):
        why = getattr(exc, "message", "") or str(exc)
        return errors.BadRequest(f"the request is not valid HTTP: {why[:_WHY_CHARACTERS]}")
    _log.error("request_failed", exc_info=exc)
    return errors.InternalError(f"Internal error occurred: {type(exc).__name__}", details={})
