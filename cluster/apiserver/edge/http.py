"""The aiohttp shell around `ApiServer.handle`: requests in, answers and streams out.

aiohttp's low-level server calls one function for every request: no application, router or
middleware lies in between, because every request pays for them. Invariants: HEAD has no body, of a
watch neither; what a client does not read is written in pieces, so that an answer is not in
memory a second time, encrypted; a watch ends when its client goes away or stops reading.
"""

import asyncio
import errno
import socket
from collections.abc import Sequence
from functools import partial
from urllib.parse import unquote

from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.edge import bodies
from kubeherd.cluster.apiserver.edge.connection import PIECE_BYTES, paced
from kubeherd.cluster.apiserver.edge.heads import Heads
from kubeherd.cluster.apiserver.edge.joined import Body
from kubeherd.cluster.apiserver.edge.listener import MAX_CONNECTIONS, Listener
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Upgrade,
    UpgradeResponse,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.parameters import first_values
from kubeherd.cluster.apiserver.edge.plain.connection import Connections, PlainConnection
from kubeherd.cluster.apiserver.edge.plain.server import PlainServer
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.edge.routing import origin_form
from kubeherd.cluster.apiserver.edge.tls import ServerContext
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.listening import listen

_SHUTDOWN_S = 5.0
_IMPERSONATE = impersonation.PREFIX.encode()
_IMPERSONATE_LENGTH = len(_IMPERSONATE)


class HttpServer:
    """Serves an `ApiServer` on a TLS socket, to at most `max_connections` clients."""

    def __init__(
        self, api: ApiServer, clock: Clock, rng: Rng, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._api = api
        self._clock = clock
        self._heads = Heads(rng)
        plain = PlainServer(api, self._heads)
        self._connections = Connections(
            self._handle, plain.answer, plain.read, plain.answer_together, lambda: not api.hurt_now
        )
        self._listeners = [Listener(self._connections, clock, max_connections)]
        self._max_connections = max_connections
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
        query = first_values(query_text)
        try:
            body = await bodies.read(request)
        except errors.ApiError as error:
            return self._finished(error_response(error))
        try:
            shown = request.headers.get("Authorization")
            user = self._api.authenticator.user(connection.identity, shown)
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
        if not answer.prepared and self._heads.ends(connection):
            answer.force_close()
        return answer

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

    def _finished(self, response: ApiResponse) -> Response:
        return Response(
            status=response.status,
            body=response.body,
            headers=self._heads.headers(response.content_type, response.headers),
        )

    async def _in_pieces(self, request: BaseRequest, response: ApiResponse) -> StreamResponse:
        headers = self._heads.headers(response.content_type, response.headers)
        answer = StreamResponse(status=response.status, headers=headers)
        answer.content_length = len(response.content)
        await answer.prepare(request)
        await _write(answer, response.content)
        await answer.write_eof()
        return answer

    async def _stream(self, request: BaseRequest, watch: WatchResponse) -> StreamResponse:
        response = StreamResponse(headers=self._heads.headers(watch.content_type, watch.headers))
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
