"""The aiohttp shell around `ApiServer.handle`: TLS, client certificates, bodies, streams.

aiohttp's low-level server calls one function for every request: no application, router or
middleware lies in between, because every request pays for them. Invariants: a connection's client
certificate is read once; a body is at most 3 MiB, also after decompression; a watch ends when its
client goes away or stops reading.
"""

import asyncio
import errno
import ssl
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import structlog
from aiohttp import ClientError, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.apiserver.access.authn import user_from_certificate
from kubeherd.cluster.apiserver.edge.messages import (
    ANONYMOUS,
    ApiRequest,
    ApiResponse,
    User,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.edge.routing import METHOD_TEXT
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.cluster.runtime.rng import Rng

BODY_LIMIT_BYTES = 3 * 1024 * 1024
_KEEPALIVE_S = 120.0
_WRITE_TIMEOUT_S = 60.0
_SHUTDOWN_S = 5.0
_READ_BYTES = 64 * 1024
_CACHE_CONTROL = "no-cache, private"
_GZIP_WINDOW = 31
_EMPTY: dict[str, str] = {}
_BODY_TIMEOUT_S = 60.0
"""How long a client may take to send its body, as long as Kubernetes lets a request take."""

_WHY_CHARACTERS = 200

_log = structlog.get_logger(__name__)


class _Connection(RequestHandler):
    """One client connection: knows its user, and stops the watch that outlives its client."""

    __slots__ = ("user", "watching")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.user: User = user_from_certificate(transport.get_extra_info("peercert"))
        self.watching: asyncio.Task[object] | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        watching, self.watching = getattr(self, "watching", None), None
        super().connection_lost(exc)
        if watching is not None:
            watching.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A Status for what is no HTTP, or for a bug; either way the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot turn into an error")
        answer = error_response(_wire_error(exc))
        response = web.Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": answer.content_type, "Server": PRODUCT},
        )
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        _log.error("connection_failed", error=repr(kw.get("exc_info", args)))


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


class _Connections(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class HttpServer:
    """Serves an `ApiServer` on a TLS socket."""

    def __init__(self, api: ApiServer, clock: Clock, rng: Rng) -> None:
        self._api = api
        self._clock = clock
        self._connections = _Connections(
            self._handle,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            auto_decompress=False,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        self._server: asyncio.Server | None = None
        self._audit_prefix = rng.uuid4()[:24]
        self._audit_count = 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the port (useful with port 0). ProcessError if it is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connections, host, port, ssl=tls, backlog=1024, reuse_address=True
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ProcessError(f"port {port} is already in use") from None
            raise ProcessError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening, end watches, let requests under way finish (at most 5 s)."""
        if self._server is not None:
            self._server.close()
        self._api.stop()
        for connection in self._connections.connections:
            # Idle connections close now, busy ones after their request; else aiohttp would wait.
            connection.close()
        await self._connections.shutdown(_SHUTDOWN_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        user = connection.user if isinstance(connection, _Connection) else ANONYMOUS
        path, _, query_text = request.raw_path.partition("?")
        query = _parse_query(query_text)
        try:
            if request.can_read_body and not request.content.is_eof():
                body = await _late_body(request)
            else:
                body = await _read_body(request)
        except errors.ApiError as error:
            return self._finished(error_response(error))
        if user is ANONYMOUS and "Authorization" in request.headers:
            return self._finished(error_response(errors.Unauthorized("Unauthorized")))
        api_request = ApiRequest(
            method=request.method,
            path=unquote(path) if "%" in path else path,
            query=query,
            headers=_headers(request),
            body=body,
            user=user,
        )
        if "watch" in query and isinstance(connection, _Connection):
            connection.watching = asyncio.current_task()
            try:
                return await self._answer(request, api_request)
            finally:
                connection.watching = None
        return await self._answer(request, api_request)

    async def _answer(
        self, request: web.BaseRequest, api_request: ApiRequest
    ) -> web.StreamResponse:
        response = await self._api.handle(api_request)
        if isinstance(response, ApiResponse):
            return self._finished(response)
        return await self._stream(request, response)

    def _headers(self, content_type: str, extra: Mapping[str, str]) -> dict[str, str]:
        self._audit_count += 1
        return {
            "Audit-Id": f"{self._audit_prefix}{self._audit_count & 0xFFFFFFFFFFFF:012x}",
            "Cache-Control": _CACHE_CONTROL,
            "Content-Type": content_type,
            "Server": PRODUCT,
            **extra,
        }

    def _finished(self, response: ApiResponse) -> web.Response:
        return web.Response(
            status=response.status,
            body=response.body,
            headers=self._headers(response.content_type, response.headers),
        )

    async def _stream(self, request: web.BaseRequest, watch: WatchResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers(watch.content_type, watch.headers))
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()  # else the stream ends with the connection
        try:
            await response.prepare(request)
            async for chunk in watch.chunks:
                await self._clock.wait_for(response.write(chunk), _WRITE_TIMEOUT_S)
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            # The client went away, or reads too slowly to be worth keeping.
            if request.transport is not None:
                request.transport.abort()
        finally:
            aclose = getattr(watch.chunks, "aclose", None)
            if aclose is not None:
                await aclose()
        return response


def _headers(request: web.BaseRequest) -> Mapping[str, str]:
    """The request's headers; those of repeated groups joined by commas."""
    groups = request.headers.getall("Impersonate-Group", ())
    if len(groups) < 2:
        return request.headers
    lower = {key.lower(): value for key, value in request.headers.items()}
    return lower | {"impersonate-group": ",".join(groups)}


def _parse_query(text: str) -> dict[str, str]:
    """The first value of each parameter, as Go's url.Values.Get sees them."""
    if not text:
        return _EMPTY
    query: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        query.setdefault(key, value)
    return query


async def _late_body(request: web.BaseRequest) -> bytes:
    """The body that is still on its way; 504 if it does not arrive."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            return await _read_body(request)
    except TimeoutError:
        raise errors.Timeout("the request body did not arrive") from None


async def _read_body(request: web.BaseRequest) -> bytes:
    """The body, decompressed; 413 beyond the limit."""
    if not request.can_read_body:
        return b""
    parts: list[bytes] = []
    size = 0
    while chunk := await request.content.read(_READ_BYTES):
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise _too_large()
        parts.append(chunk)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise errors.UnsupportedMediaType(f"unsupported content encoding: {encoding[:64]}")
    return _inflated(body)


def _inflated(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = decompressor.decompress(body, BODY_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise errors.BadRequest(f"the gzip body cannot be decompressed: {error}") from None
    if len(plain) > BODY_LIMIT_BYTES:
        raise _too_large()
    if not decompressor.eof:
        raise errors.BadRequest("the gzip body cannot be decompressed: unexpected EOF")
    return plain


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT_BYTES}")


def tls_context(pki: Path) -> ssl.SSLContext:
    """TLS with the server's certificate, asking clients for one of the cluster's authority.

    ProcessError if the files in `pki` are missing or broken.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        context.load_verify_locations(pki / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise ProcessError(f"cannot load the certificates in {pki}: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
