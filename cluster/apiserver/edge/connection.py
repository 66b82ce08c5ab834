"""One client connection: who it is, how long it may be silent, how much it may leave unread.

Invariants: the certificate is read once; a connection that never sends a request ends after the
header timeout, an idle one after the idle timeout (aiohttp's keep-alive timer), one that does not
read what it is sent after the write timeout; until then at most `_WRITE_BUFFER_BYTES` wait for it
besides the piece that is being written. The times are those of Kubernetes (v1.36,
SecureServingInfo.Serve) and real seconds: clients do not obey ``--speed``.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any

import msgspec
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
from kubeherd.cluster.apiserver.edge import gathering, plain, resting
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
_LINE_BYTES = 64 * 1024
_HELD_BYTES = 64 * 1024
PARTIAL_S = 1.0
"""How long the rest of a plain request may take: who is slower is aiohttp's."""
PIECE_BYTES = 128 * 1024
"""So much is encrypted at a time of an answer to a client that may not be reading."""
_PIECES_AT_ONCE = 8
"""About two milliseconds."""

_WHY_CHARACTERS = 200
_MAPPED = "::ffff:"
"""Before an IPv4 address on a socket that takes both kinds."""

_log = structlog.get_logger(__name__)


class _Partial(msgspec.Struct, eq=False):
    """A plain request of `size` bytes of which these have come; the timer ends the wait."""

    size: int
    timer: asyncio.TimerHandle
    come: bytearray


class Connection(RequestHandler):
    """One client connection: knows its user, and stops the watch that outlives its client."""

    __slots__ = (
        "_clean",
        "_held",
        "_partial",
        "_plain",
        "_rested_at_s",
        "_rhythm",
        "_silence",
        "_stall",
        "asked",
        "identity",
        "peer",
        "raw",
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
        self.raw: socket.socket | None = None
        """The socket below TLS, where the connection may rest between heartbeats."""
        self.watching: asyncio.Task[object] | None = None
        self.taken_over: Callable[[bytes], None] | None = None
        """Gets what comes from now on, which is no HTTP any more; b"" when the client has gone."""
        self._plain: asyncio.Task[None] | None = None
        """Answers a plain request."""
        self._held = bytearray()
        """What came meanwhile."""
        self._partial: _Partial | None = None
        """A plain request of which a part has come."""
        self._rested_at_s = 0.0
        """When the last plain answer was given, in the event loop's time; 0: there was none."""
        self._rhythm: resting.Rhythm | None = None
        """None: it has brought no heartbeat."""
        self._clean = True
        """Whether aiohttp has read whole requests only, so that what comes next begins one."""
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
        if self._partial is not None:
            self._partial.timer.cancel()
        super().connection_lost(exc)
        self._wakes()
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
        if self._plain is not None:
            self._hold(data)
            return
        if (partial := self._partial) is not None:
            partial.come += data
            if len(partial.come) < partial.size:
                return
            data = self._all_of(partial)
        awaits = self._awaits_request()
        request = plain.read(data) if self._clean and awaits else None
        manager = self._manager
        look_s = None if self._rhythm is None else self._wakes()
        if isinstance(manager, Connections) and manager.takes_plain() and not self.ending:
            if isinstance(request, plain.Plain):
                self._take(manager, request, look_s)
                return
            if isinstance(request, plain.Partial):
                self._await_rest(data, request.size)
                return
        self._leave_to_aiohttp(data, whole=isinstance(request, plain.Plain | plain.Whole))

    def _leave_to_aiohttp(self, data: bytes, *, whole: bool) -> None:
        """`whole`: exactly one request, after others."""
        awaits = self._awaits_request()
        if not whole:
            self._clean = False
        if awaits and not data.isascii():
            data = escaped_target(data)
        super().data_received(data)

    def _await_rest(self, data: bytes, size: int) -> None:
        """Wait a moment for the rest of a plain request of so many bytes."""
        timer = self._loop.call_later(PARTIAL_S, self._leave_partial)
        self._partial = _Partial(size, timer, bytearray(data))

    def _all_of(self, partial: _Partial) -> bytes:
        """What has come of a request, which is waited for no more."""
        partial.timer.cancel()
        self._partial = None
        return bytes(partial.come)

    def _leave_partial(self) -> None:
        """The rest of a plain request has not come in time."""
        if self._partial is not None:
            self._leave_to_aiohttp(self._all_of(self._partial), whole=False)

    @property
    def ending(self) -> bool:
        """Whether it ends after the request that is answered."""
        return bool(self._force_close or self._close)

    def _hold(self, data: bytes) -> None:
        """Keep what comes while a plain request is answered, and read no more if it is much."""
        self._held += data
        if len(self._held) > _HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _wakes(self) -> float | None:
        """Rest no more; as `Resting.leave`."""
        manager = self._manager
        if self.raw is None or not isinstance(manager, Connections):
            return None
        return manager.resting.leave(self.raw)

    def _take(self, manager: "Connections", request: plain.Plain, look_s: float | None) -> None:
        """Let a plain request go its way; `look_s`: as of `Resting.leave`."""
        self.asked = True
        rhythm = self._rhythm
        if gathering.is_heartbeat(request.method, request.path):
            silent_s = self._loop.time() - self._rested_at_s if self._rested_at_s else 0.0
            if rhythm is None:
                rhythm = self._rhythm = resting.Rhythm()
            rhythm.beat(silent_s, look_s)
            # Those that were looked at with it are there already.
            wait_s = gathering.patience_s(silent_s) if look_s is None else 0.0
            self._plain = manager.gathering.join((self, request), wait_s)
            return
        if rhythm is not None:
            rhythm.breaks()
        if gathering.goes_together(request.method, request.path):
            self._plain = manager.gathering.join((self, request), 0.0)
        elif request.method != "GET" or not manager.read(self, request):
            self.answer_alone(manager, request)

    def answer_alone(self, manager: "Connections", request: plain.Plain) -> None:
        """Answer a plain request in a task of its own."""
        self._plain = self._loop.create_task(self._answer(manager, request))

    async def _answer(self, manager: "Connections", request: plain.Plain) -> None:
        goes_on = False
        try:
            goes_on = await manager.plain(self, request)
        except ConnectionError:  # the client has gone
            pass
        except Exception as error:  # a bug: the connection ends
            self.log_exception(exc_info=error)
        finally:
            self.answered(manager, goes_on=goes_on)

    def answered(self, manager: "Connections", *, goes_on: bool) -> None:
        """After a plain answer: the connection ends, or waits for the next request."""
        self._plain = None
        if not goes_on or self.ending:
            self.force_close()
        elif self.transport is not None:
            rhythm = self._rhythm
            if rhythm is not None and rhythm.look_s and self.raw is not None and not self._held:
                manager.resting.rest(self.raw, rhythm.look_s)
            self._rest()

    def write(self, head: bytes, body: Body) -> bool:
        """Write a small answer and wait for nothing; False if the client has gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        transport.write(head + bytes(body))
        return True

    def _rest(self) -> None:
        """Wait for the next request, for as long as aiohttp would."""
        self._keepalive = True
        self._rested_at_s = self._loop.time()
        self._next_keepalive_close_time = self._rested_at_s + IDLE_TIMEOUT_S
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self._held:
            data, self._held = bytes(self._held), bytearray()
            if len(data) > _HELD_BYTES and self.transport is not None:
                self.transport.resume_reading()
            self.data_received(data)

    async def send(self, head: bytes, body: Body) -> bool:
        """Write a plain answer, and wait until what is unread is little; False if the client has
        gone, ConnectionError if it goes."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        if len(body) <= PIECE_BYTES:
            transport.write(head + bytes(body))
            await self._drain_helper()
            return True
        transport.write(head)
        async for piece in paced(body):
            transport.write(piece)
            await self._drain_helper()
        return True

    def _process_keepalive(self) -> None:
        if self._plain is None and self._partial is None:
            super()._process_keepalive()
        else:  # it looks idle to aiohttp, which knows nothing of plain requests
            self._keepalive_handle = self._loop.call_later(IDLE_TIMEOUT_S, self._process_keepalive)

    def close(self) -> None:
        """As in aiohttp: end now, or after the request that is answered."""
        if self._plain is None:
            super().close()
        else:
            self._close = True

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """As in aiohttp: what is answered has this time to end."""
        for _ in range(2):  # what came with heartbeats may go its own way from there
            if (answering := self._plain) is not None:
                await asyncio.wait({answering}, timeout=timeout)
                answering.cancel()
        await super().shutdown(timeout)

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
        if not self.asked and self._partial is None:
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


PlainHandler = Callable[[Connection, plain.Plain], Awaitable[bool]]
"""Answers a plain request; whether the connection goes on."""
Reader = Callable[[Connection, plain.Plain], bool]
"""Answers a GET in the step in which it came: nothing that is due stands in front of it. Whether it
did."""
Gathered = tuple[Connection, plain.Plain]
GatheredHandler = Callable[[Sequence[Gathered]], Coroutine[Any, Any, None]]
"""Answers some writes that came together, or lets their connections `answer_alone`."""


class Connections(Server):
    """Makes connections, and counts those that are open."""

    def __init__(
        self,
        handler: Any,
        plain: PlainHandler,
        read: Reader,
        together: GatheredHandler,
        takes_plain: Callable[[], bool],
    ) -> None:
        """`plain`, `read` and `together` answer plain requests at times when `takes_plain`,
        `handler` all others."""
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=IDLE_TIMEOUT_S,
            auto_decompress=False,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
        )
        self.open = 0
        self.plain = plain
        self.read = read
        self.takes_plain = takes_plain
        self.gathering = gathering.Gathering(together)
        self.resting = resting.Resting()

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open += 1

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open -= 1

    def oldest_silent(self) -> Connection | None:
        """The connection that has waited longest without ever sending a request."""
        for connection in self.connections:
            if isinstance(connection, Connection) and not connection.asked and connection.connected:
                return connection
        return None
