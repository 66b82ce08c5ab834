"""The transport over real HTTP: aiohttp with a keep-alive pool, TLS and client certificates.

Invariants: a write is sent once, whatever becomes of its connection; no cookies, no proxies or
credentials from the environment, every wait has a timeout, one TLS context per identity (it is the
expensive part); keys never touch the disk. When the identity is renewed (`rotation`) new requests
go out under the new one, and the connections of the old one end with the requests on them.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from kubeherd.cluster.api import fence as fences
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.metrics import ClientMeasures
from kubeherd.cluster.client.rotation import LOOK_INTERVAL_S, KubeconfigFile
from kubeherd.cluster.client.tls import tls_context
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    TransportError,
    TransportResponse,
    error_of,
    target,
)
from kubeherd.cluster.runtime.metrics import stopwatch_s
from kubeherd.cluster.runtime.sockets.aiohttpsockets import once_closed

if TYPE_CHECKING:
    from aiohttp.tracing import Trace

CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 60.0
MAX_CONNECTIONS = 256

_CLOSE_TIMEOUT_S = 1.0
_INTRODUCTION_S = 0.25
"""Real seconds that other requests wait for the answer to the first one: their connections can then
resume its TLS session."""
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError)


def from_kubeconfig(
    path: str | Path,
    context: str = "",
    *,
    user_agent: str = PRODUCT,
    max_connections: int = MAX_CONNECTIONS,
) -> "HttpTransport":
    """A transport for the identity in a kubeconfig, renewed when the file is; KubeconfigError if it
    cannot be used."""
    file = KubeconfigFile(path, context)
    return HttpTransport(
        file.access, user_agent=user_agent, max_connections=max_connections, renewed=file.newer
    )


class HttpTransport:
    """See `cluster.client.transport.Transport`. Connects on first use, in the running loop."""

    def __init__(
        self,
        access: ClusterAccess,
        *,
        user_agent: str = PRODUCT,
        max_connections: int = MAX_CONNECTIONS,
        renewed: Callable[[], ClusterAccess | None] = lambda: None,
    ) -> None:
        """`renewed` is asked from time to time whether there is a newer identity."""
        self.access = access
        self._renewed = renewed
        self._look_at_s = 0.0
        self.measures = ClientMeasures()
        self._headers = {
            "User-Agent": user_agent,
            "Accept-Encoding": "identity",  # the server is near: to compress costs more than bytes
        }
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._connector: _Connector
        self._retired: list[aiohttp.ClientSession] = []
        """Sessions of identities that were renewed, with requests under way."""
        self._introduced: asyncio.Event | None = None
        self._closed = False

    @property
    def host(self) -> str:
        """The server's host and port."""
        return self.access.server.partition("://")[2]

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
        token: str = "",
    ) -> TransportResponse:
        """As `Transport.request`; `token`: a bearer token that goes with this request only."""
        headers = _headers(accept, token)
        if content_type:
            headers["Content-Type"] = content_type
        if fence:
            headers[fences.HEADER] = fence
        started_s = stopwatch_s()
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
            async with await self._send(method, path, query, headers, timeout, body) as response:
                answer = _answer(response, await response.read())
                self.measures.answered(method, response.status, started_s)
                return answer
        except _FAILURES as error:
            self.measures.failed(method, started_s)
            raise _no_answer(method, path, error) from error

    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        token: str = "",
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`; `token` as in `request`."""
        started_s = stopwatch_s()
        try:
            headers = _headers(accept, token)
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=timeout_s
            )
            async with await self._send("GET", path, query, headers, timeout) as response:
                self.measures.answered("GET", response.status, started_s)
                if response.status != 200:
                    raise error_of(_answer(response, await response.read()))
                async for chunk in response.content.iter_any():
                    yield chunk
        except _FAILURES as error:
            raise _no_answer("GET", path, error) from error

    async def close(self) -> None:
        """As `Transport.close`."""
        self._closed = True
        for retired in self._retired:
            await retired.close()
        if self._session is not None:
            await self._session.close()
            await self._connector.until_closed()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request, after the first one is answered."""
        if (now_s := asyncio.get_running_loop().time()) >= self._look_at_s:
            self._look_at_s = now_s + LOOK_INTERVAL_S
            await self._look()
        if self._introduced is None:
            self._introduced = asyncio.Event()
            try:
                return await self._send_now(method, path, query, headers, timeout, body)
            finally:
                self._introduced.set()
        if not self._introduced.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTRODUCTION_S):
                    await self._introduced.wait()
        return await self._send_now(method, path, query, headers, timeout, body)

    async def _send_now(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: bytes | None,
    ) -> aiohttp.ClientResponse:
        """Send a request; a read again if the connection that was kept for it turns out ended."""
        for may_repeat in (method == "GET", False):
            try:
                return await self._open().request(
                    method,
                    self._url(path, query),
                    data=body,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                    server_hostname=self.access.tls_server_name or None,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                if not may_repeat:
                    raise
        raise AssertionError("the second try returns or raises")

    async def _look(self) -> None:
        """Take a newer identity, and end what idles of older ones."""
        for retired in tuple(self._retired):
            connector = retired.connector
            if connector is None or not connector._acquired:
                self._retired.remove(retired)
                await retired.close()
        access = self._renewed()
        if access is not None:
            if self._session is not None:
                self._retired.append(self._session)
            self.access, self._session = access, None

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportError("the transport is closed")
        if self._session is None:
            self._connector = connector = _Connector(
                limit=self._max_connections,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=tls_context(self.access) if self.access.server.startswith("https:") else True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={**self._headers, **_authorization(self.access)},
            )
            # aiohttp sends a PUT or DELETE again, too, when a kept connection ends before its
            # answer; the first may have been carried out, and the answer to the second would lie.
            self._session._retry_connection = False
        return self._session

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        return URL(self.access.server + target(path, query), encoded=True)


class _Connector(aiohttp.TCPConnector):
    """Closes every connection in its own time.

    aiohttp forgets the connection of a request that was cancelled (every watch ends so) before its
    TLS is shut down; a program whose event loop ends soon after would leave the socket open.
    """

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(
            limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl, socket_factory=once_closed
        )
        self._opened: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: "list[Trace]", timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None:
            self._opened.add(connection.protocol)
        return connection

    async def until_closed(self) -> None:
        """Wait for a moment at most until the last connection is closed, in order or not."""
        ends = [end for protocol in self._opened if (end := protocol.closed) is not None]
        for end in ends:
            end.add_done_callback(_noticed)
        if ends:
            await asyncio.wait(ends, timeout=_CLOSE_TIMEOUT_S)


def _noticed(end: asyncio.Future[None]) -> None:
    """Look at how a connection ended, or asyncio complains on standard error that nobody did."""
    if not end.cancelled():
        end.exception()


def _answer(response: aiohttp.ClientResponse, body: bytes) -> TransportResponse:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return TransportResponse(response.status, body, headers.get("content-type", ""), headers)


def _no_answer(method: str, path: str, error: BaseException) -> TransportError:
    reason = "timed out" if isinstance(error, asyncio.TimeoutError) else str(error)
    return TransportError(f"{method} {path}: {reason or type(error).__name__}")


def _headers(accept: str, token: str) -> dict[str, str]:
    headers = {"Accept": accept} if accept else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _authorization(access: ClusterAccess) -> dict[str, str]:
    if access.token:
        return {"Authorization": f"Bearer {access.token}"}
    if access.username:
        pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}
