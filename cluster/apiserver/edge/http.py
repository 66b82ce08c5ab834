"""The aiohttp shell around `ApiServer.handle`: requests in, answers and streams out.

aiohttp's low-level server calls one function for every request: no application, router or
middleware lies in between, because every request pays for them. Invariants: HEAD has no body, of a
watch neither; what a client does not read is written in pieces, so that an answer is not in
memory a second time, encrypted; a watch ends when its client goes away or stops reading.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.access.authn import Identity
from kubeherd.cluster.apiserver.edge import bodies, plain
from kubeherd.cluster.apiserver.edge.connection import PIECE_BYTES, paced
from kubeherd.cluster.apiserver.edge.joined import Body
from kubeherd.cluster.apiserver.edge.listener import MAX_CONNECTIONS, Listener
from kubeherd.cluster.apiserver.edge.messages import (
    ANONYMOUS,
    ApiRequest,
    ApiResponse,
    Upgrade,
    UpgradeResponse,
    User,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.plainconnection import Connections, Gathered, PlainConnection
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.edge.routing import origin_form
from kubeherd.cluster.apiserver.edge.tls import ServerContext
from kubeherd.cluster.apiserver.handlers.begun import ANSWER_US, BEGIN_US, Begun, settled
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.listening import listen

_SHUTDOWN_S = 5.0
MOVE_CHANCE = 0.001
"""Of several servers each ends a connection after one of so many answers, and its client makes
another: so they spread again after a restart (what kube-apiserver's --goaway-chance is for)."""
_OK = HTTPStatus.OK.value
_CACHE_CONTROL = "no-cache, private"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = (204, 304)
_EMPTY: dict[str, str] = {}
_IMPERSONATE = impersonation.PREFIX.encode()
_IMPERSONATE_LENGTH = len(_IMPERSONATE)


class HttpServer:
    """Serves an `ApiServer` on a TLS socket, to at most `max_connections` clients."""

    def __init__(
        self, api: ApiServer, clock: Clock, rng: Rng, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._api = api
        self._clock = clock
        self._connections = Connections(
            self._handle,
            self._handle_plain,
            self._read,
            self._handle_gathered,
            lambda: not api.hurt_now,
        )
        self._listeners = [Listener(self._connections, clock, max_connections)]
        self._max_connections = max_connections
        self._rng = rng
        self._audit_prefix = rng.uuid4()[:24]
        self._audit_count = 0
        self._sessions: set[asyncio.Task[object]] = set()
        self._pushed = self._chunk = b""

    async def start(self, host: str, port: int, tls: ServerContext) -> int:
        """Listen; returns the port (useful with port 0). ProcessError if it is taken."""
        try:
            listening = listen(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ProcessError(f"port {port} is already in use") from None
            raise ProcessError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._listeners[0].start(listening, tls)
        bound: int = listening.getsockname()[1]
        return bound

    def share(self, front: socket.socket, tls: ServerContext) -> None:
        """Serve what comes to a socket from which other servers accept, too."""
        listener = Listener(self._connections, self._clock, self._max_connections, shared=True)
        listener.start(front, tls)
        self._listeners.append(listener)

    async def stop(self) -> None:
        """Stop listening, end watches, let requests under way finish (at most 5 s)."""
        for listener in self._listeners:
            await listener.stop()
        self._api.stop()
        for session in self._sessions:
            session.cancel()
        for connection in self._connections.connections:
            # Idle connections close now, busy ones after their request; else aiohttp would wait.
            connection.close()
        await self._connections.shutdown(_SHUTDOWN_S)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        connection = request.protocol
        if not isinstance(connection, PlainConnection):
            raise TypeError("not a connection of this server")
        connection.asked = True
        encoding = request.headers.get("Transfer-Encoding")
        if encoding is not None and encoding.lower() != "chunked":
            return _unsupported_encoding()
        path, _, query_text = origin_form(request.raw_path).partition("?")
        query = _parse_query(query_text)
        try:
            body = await bodies.read(request)
        except errors.ApiError as error:
            return self._finished(error_response(error))
        try:
            user = self._user(connection.identity, request.headers.get("Authorization"))
        except errors.ApiError as error:
            return self._finished(error_response(error))
        api_request = ApiRequest(
            method=request.method,
            path=unquote(path) if "%" in path else path,
            query=query,
            headers=request.headers,
            body=body,
            user=user,
            impersonate=_impersonate(request),
            raw_query=query_text,
            peer=connection.peer,
        )
        if "watch" in query or self._api.hurt_now:
            answer = await self._tied(connection, request, api_request)
        else:
            answer = await self._answer(request, api_request)
        if not answer.prepared and self._ends(connection):
            answer.force_close()
        return answer

    async def _handle_plain(self, connection: PlainConnection, request: plain.Plain) -> bool:
        """Answer a plain request; whether the connection goes on."""
        try:
            if request.waits:
                connection.watching = asyncio.current_task()
            answer = await self._api.handle(self._api_request(connection, request))
        except errors.ApiError as error:
            answer = error_response(error)
        finally:
            connection.watching = None
        if not isinstance(answer, ApiResponse):  # a fault that has just begun breaks the connection
            connection.drop()
            return False
        head, ends = self._plain_head(connection, answer)
        return await connection.send(head, answer.content) and not ends

    def _api_request(self, connection: PlainConnection, request: plain.Plain) -> ApiRequest:
        """A plain request; Unauthorized."""
        return ApiRequest(
            method=request.method,
            path=request.path,
            query=_parse_query(request.query),
            headers=request.headers,
            body=request.body,
            user=self._user(connection.identity, request.headers.get("authorization")),
            raw_query=request.query,
            peer=connection.peer,
        )

    def _plain_head(self, connection: PlainConnection, answer: ApiResponse) -> tuple[bytes, bool]:
        """The head of a plain answer, and whether it is the last on its connection."""
        ends = self._ends(connection)
        if answer.status == _OK and answer.content_type and not answer.headers and not ends:
            return self._usual_head(answer), False
        headers = self._headers(answer.content_type, answer.headers)
        if ends:
            headers["Connection"] = "close"
        return _head(answer, headers), ends

    async def _handle_gathered(self, gathered: Sequence[Gathered]) -> None:
        """Answer writes that came together; those that are no short ones go their own way."""
        turns = self._api.services.turns
        begun: list[tuple[PlainConnection, Begun]] = []
        for connection, request in gathered:
            if not turns.take(BEGIN_US):
                await turns.room(BEGIN_US)
            one = self._begin(connection, request)
            if one is None:
                connection.answer_alone(self._connections, request)
            else:
                begun.append((connection, one))
        await settled(self._api.services.store, [one for _, one in begun])
        for connection, one in begun:
            if not turns.take(ANSWER_US):
                await turns.room(ANSWER_US)
            self._write(connection, one.answer)

    def _begin(self, connection: PlainConnection, request: plain.Plain) -> Begun | None:
        """Let a write begin; None if it must go its own way."""
        if connection.writing_paused:
            return None  # there its answer waits until the client has read
        try:
            return self._api.begin(self._api_request(connection, request))
        except errors.ApiError:
            return None
        except Exception as error:  # a bug, which is met there again, and told
            connection.log_exception(exc_info=error)
            return None

    def _read(self, connection: PlainConnection, request: plain.Plain) -> bool:
        """As `Reader`, while there are writes: where nothing but reads is due, those that come
        together cost less in turn, step by step."""
        if request.query or connection.writing_paused or not self._api.services.turns.busy:
            return False
        try:
            answer = self._api.read(self._api_request(connection, request))
        except errors.ApiError:
            return False
        if not isinstance(answer, ApiResponse):
            return False
        self._write(connection, lambda: answer)
        return True

    def _write(self, connection: PlainConnection, answer: Callable[[], ApiResponse]) -> None:
        """Write a small answer, and wait for nothing."""
        goes_on = False
        try:
            told = answer()
            head, ends = self._plain_head(connection, told)
            goes_on = connection.write(head, told.content) and not ends
        except Exception as error:  # a bug: the connection ends
            connection.log_exception(exc_info=error)
        finally:
            connection.answered(self._connections, goes_on=goes_on)

    def _ends(self, connection: PlainConnection) -> bool:
        """Whether this answer is the last on its connection: the client must be told, or it sends
        a request into the end of the connection, which it may not send again."""
        return connection.ending or (connection.shared and self._rng.random() < MOVE_CHANCE)

    async def _tied(
        self, connection: PlainConnection, request: BaseRequest, api_request: ApiRequest
    ) -> StreamResponse:
        """Answer a request that may take long: it is given up when its client goes away."""
        if self._api.hurt_now:
            api_request.certificate = connection.certificate
        connection.watching = asyncio.current_task()
        try:
            return await self._answer(request, api_request)
        finally:
            connection.watching = None

    def _user(self, identity: Identity, authorization: str | None) -> User:
        """Who sends a request: of a good certificate and a token the certificate decides.
        Unauthorized if what is shown is not good."""
        if identity.user is not ANONYMOUS:
            expired = identity.expires is not None and self._clock.now() > identity.expires
            if not expired:
                return identity.user
        elif not identity.refused:
            return self._api.user_of_header(authorization) if authorization else ANONYMOUS
        raise errors.Unauthorized("Unauthorized")

    async def _answer(self, request: BaseRequest, api_request: ApiRequest) -> StreamResponse:
        response = await self._api.handle(api_request)
        if isinstance(response, ApiResponse):
            if len(response.content) > PIECE_BYTES and request.method != "HEAD":
                return await self._in_pieces(request, response)
            return self._finished(response)
        if isinstance(response, WatchResponse):
            return await self._stream(request, response)
        if isinstance(response, UpgradeResponse):
            return await self._upgraded(request, response)
        if isinstance(request.protocol, PlainConnection):
            request.protocol.drop()
        raise asyncio.CancelledError  # to aiohttp: nobody waits for an answer

    async def _upgraded(self, request: BaseRequest, response: UpgradeResponse) -> StreamResponse:
        """A session on the connection: like a watch it ends with its client or with the server."""
        from kubeherd.cluster.apiserver.edge import takeover, websocket  # noqa: PLC0415 - seldom

        task = asyncio.current_task()
        if task is None:
            raise TypeError("not in a task")
        self._sessions.add(task)
        try:
            if response.upgrade is Upgrade.SPDY:
                return await takeover.serve(request, response)
            return await websocket.serve(request, response)
        finally:
            self._sessions.discard(task)

    def _usual_head(self, answer: ApiResponse) -> bytes:
        """What `_head` makes of the headers that every answer has, in one go."""
        return (
            f"HTTP/1.1 200 OK\r\nAudit-Id: {self._audit_id()}\r\n"
            f"Cache-Control: {_CACHE_CONTROL}\r\nContent-Type: {answer.content_type}\r\n"
            f"Server: {PRODUCT}\r\nContent-Length: {len(answer.content)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n\r\n"
        ).encode()

    def _audit_id(self) -> str:
        self._audit_count += 1
        return f"{self._audit_prefix}{self._audit_count & 0xFFFFFFFFFFFF:012x}"

    def _headers(self, content_type: str, extra: Mapping[str, str]) -> dict[str, str]:
        headers = {
            "Audit-Id": self._audit_id(),
            "Cache-Control": _CACHE_CONTROL,
            "Content-Type": content_type,
            "Server": PRODUCT,
            **extra,
        }
        if not content_type:
            del headers["Content-Type"]
        return headers

    def _finished(self, response: ApiResponse) -> Response:
        return Response(
            status=response.status,
            body=response.body,
            headers=self._headers(response.content_type, response.headers),
        )

    async def _in_pieces(self, request: BaseRequest, response: ApiResponse) -> StreamResponse:
        headers = self._headers(response.content_type, response.headers)
        answer = StreamResponse(status=response.status, headers=headers)
        answer.content_length = len(response.content)
        await answer.prepare(request)
        await _write(answer, response.content)
        await answer.write_eof()
        return answer

    async def _stream(self, request: BaseRequest, watch: WatchResponse) -> StreamResponse:
        response = StreamResponse(headers=self._headers(watch.content_type, watch.headers))
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()  # else the stream ends with the connection
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                if response.chunked and watch.outlet is not None:
                    watch.outlet.write = partial(self._push, request.protocol)
                async for chunk in watch.chunks:
                    await _write(response, chunk)
            await response.write_eof()
        finally:
            aclose = getattr(watch.chunks, "aclose", None)
            if aclose is not None:
                await aclose()
        return response

    def _push(self, connection: BaseProtocol, data: bytes) -> bool:
        """As `Outlet.write`: one chunk of HTTP, made once for all who are sent the same."""
        transport = connection.transport
        if transport is None or transport.is_closing() or connection.writing_paused:
            return False
        if data is not self._pushed:
            self._pushed, self._chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
        transport.write(self._chunk)
        return True


def _head(response: ApiResponse, headers: Mapping[str, str]) -> bytes:
    """The head of a plain answer, as aiohttp writes it; ValueError for a value that is none."""
    if any("\r" in value or "\n" in value for value in response.headers.values()):
        raise ValueError("a line ends within a header's value")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if response.status not in _WITHOUT_BODY:
        lines += f"Content-Length: {len(response.content)}\r\n"
    reason = _REASONS.get(response.status, "")
    head = f"HTTP/1.1 {response.status} {reason}\r\n{lines}Date: {rfc822_formatted_time()}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape")


def _impersonate(request: BaseRequest) -> Sequence[tuple[str, str]]:
    """The header lines that ask to act as somebody else, as `ApiRequest` has them."""
    found = []
    for raw_name, raw_value in request.raw_headers:
        if raw_name[:_IMPERSONATE_LENGTH].lower() == _IMPERSONATE:
            found.append(
                (raw_name.decode("ascii", "replace").lower(), raw_value.decode("utf-8", "replace"))
            )
    return found


async def _write(response: StreamResponse, body: Body) -> None:
    """Write `body`, waiting between its pieces until the client has read; ConnectionError when it
    has gone, or did not read for long."""
    if isinstance(body, bytes) and len(body) <= PIECE_BYTES:
        await response.write(body)
        return
    async for piece in paced(body):
        await response.write(piece)


def _unsupported_encoding() -> Response:
    """What Go's net/http answers, and as there the connection ends: where the body ends is not
    known, so what follows is not taken for a request."""
    response = Response(status=501, text="Unsupported transfer encoding")
    response.force_close()
    return response


def _parse_query(text: str) -> dict[str, str]:
    """The first value of each parameter, as Go's url.Values.Get sees them."""
    if not text:
        return _EMPTY
    query: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        query.setdefault(key, value)
    return query
