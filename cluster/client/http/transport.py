"""The transport over real HTTP: kept connections, TLS and client certificates.

HTTP is read and written by modules of ours (`http1`, `connections`): a general library costs
several times as much as all that is asked with it. Invariants: a write is sent once, whatever
becomes of its connection; no redirects, cookies, proxies or credentials from the environment, every
wait has a timeout, one TLS context per identity (it is the expensive part); keys never touch the
disk. When the identity is renewed (`rotation`) new requests go out under the new one, and the
connections of the old one end with the requests on them.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from kubeherd.cluster.api.private import fence as fences
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.http import http1
from kubeherd.cluster.client.http.connections import Connection, Disconnected, Pool
from kubeherd.cluster.client.http.http1 import Head
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.metrics import ClientMeasures
from kubeherd.cluster.client.rotation import LOOK_INTERVAL_S, KubeconfigFile
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    TransportError,
    TransportResponse,
    error_of,
    target,
)
from kubeherd.cluster.runtime.metrics import stopwatch_s

MAX_CONNECTIONS = 256

_INTRODUCTION_S = 0.25
"""Real seconds that other requests wait for the answer to the first one: their connections can then
resume its TLS session."""
_FAILURES = (OSError, http1.Unfit)
"""OSError is that of TLS, too, and of what takes too long."""


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
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._pool: Pool | None = None
        self._headers: Mapping[str, str] = {}
        """Those of every request under the identity of now."""
        self._retired: list[Pool] = []
        """Those of identities that were renewed, with requests under way."""
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
            async with asyncio.timeout(timeout_s):
                pool, connection, head = await self._send(method, path, query, headers, body)
                try:
                    answer = _answer(head, await connection.whole())
                finally:
                    pool.give_back(connection)
        except _FAILURES as error:
            self.measures.failed(method, started_s)
            raise _no_answer(method, path, error) from error
        self.measures.answered(method, head.status, started_s)
        return answer

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
            async with asyncio.timeout(timeout_s):
                sent = await self._send("GET", path, query, _headers(accept, token), None)
            pool, connection, head = sent
            try:
                self.measures.answered("GET", head.status, started_s)
                if head.status != 200:
                    async with asyncio.timeout(timeout_s):
                        raise error_of(_answer(head, await connection.whole()))
                while piece := await _next(connection, timeout_s):
                    yield piece
            finally:
                pool.give_back(connection)
        except _FAILURES as error:
            raise _no_answer("GET", path, error) from error

    async def close(self) -> None:
        """As `Transport.close`."""
        self._closed = True
        for pool in (*self._retired, *((self._pool,) if self._pool else ())):
            await pool.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> tuple[Pool, Connection, Head]:
        """Send a request, after the first one is answered; where its answer comes, to be given
        back, and how it begins."""
        if (now_s := asyncio.get_running_loop().time()) >= self._look_at_s:
            self._look_at_s = now_s + LOOK_INTERVAL_S
            self._look()
        if self._introduced is None:
            self._introduced = asyncio.Event()
            try:
                return await self._send_now(method, path, query, headers, body)
            finally:
                self._introduced.set()
        if not self._introduced.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTRODUCTION_S):
                    await self._introduced.wait()
        return await self._send_now(method, path, query, headers, body)

    async def _send_now(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> tuple[Pool, Connection, Head]:
        """Send a request; a read again if the connection that was kept for it turns out ended."""
        for may_repeat in (method == "GET", False):
            pool = self._open()
            wanted = pool.prefix + target(path, query)
            request = http1.request(method, wanted, {**self._headers, **headers}, body)
            connection = await pool.take()
            try:
                return pool, connection, await connection.ask(request)
            except BaseException as error:
                pool.give_back(connection)
                if not (may_repeat and isinstance(error, Disconnected)):
                    raise
        raise AssertionError("the second try returns or raises")

    def _look(self) -> None:
        """Take a newer identity, and forget older ones that nobody waits for."""
        self._retired = [pool for pool in self._retired if pool.busy]
        access = self._renewed()
        if access is not None:
            if self._pool is not None:
                self._pool.retire()
                self._retired.append(self._pool)
            self.access, self._pool = access, None

    def _open(self) -> Pool:
        if self._closed:
            raise TransportError("the transport is closed")
        if self._pool is None:
            self._pool = Pool(self.access, self._max_connections)
            self._headers = {
                "Host": self._pool.host,
                "User-Agent": self._user_agent,
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # the server is near: to compress costs more
                **_authorization(self.access),
            }
        return self._pool


async def _next(connection: Connection, timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await connection.piece()


def _answer(head: Head, body: bytes) -> TransportResponse:
    return TransportResponse(head.status, body, head.headers.get("content-type", ""), head.headers)


def _no_answer(method: str, path: str, error: BaseException) -> TransportError:
    reason = "timed out" if isinstance(error, TimeoutError) else str(error)
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
