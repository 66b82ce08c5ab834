"""Connections to one server, kept for the next request: TLS, one request at a time on each.

Invariants: at most `limit` connections are there for requests at a time, and whoever finds none
free waits in line; a connection whose answer was not read to its end is not used again; one that
idles for a minute is closed; nobody but the pool closes its connections.
"""

import asyncio
import ssl
from collections import deque
from typing import Final, cast
from urllib.parse import urlsplit

from kubeherd.cluster.client.http.http1 import AnswerReader, Damaged, Head
from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess

CONNECT_TIMEOUT_S: Final = 10.0
KEEP_ALIVE_S: Final = 60.0
MAX_UNREAD_BYTES: Final = 1024 * 1024
"""Of a stream whose reader is slower than the server: then the server has to wait."""
_CLOSE_TIMEOUT_S: Final = 1.0
_PORTS: Final = {"http": 80, "https": 443}


class Disconnected(ConnectionError):
    """The connection ended before the answer did, or what came is no answer."""


class Unreachable(ConnectionError):
    """There is no connection to be had."""


class Connection(asyncio.Protocol):
    """One connection: a request is sent, then its answer is read."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.idle_since_s = 0.0
        self._loop = loop
        self._transport: asyncio.Transport
        self._reader = AnswerReader()
        self._pieces: list[bytes] = []
        self._unread_bytes = 0
        self._streaming = self._paused = False
        self._wanted_whole = False
        self._waiter: asyncio.Future[None] | None = None
        self._broken: Disconnected | None = None

    # --- as asyncio's protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        try:
            piece = self._reader.feed(data)
        except Damaged as error:
            self._break(Disconnected(str(error)))
            self._transport.abort()
            return
        if piece:
            self._pieces.append(piece)
            if self._streaming:
                self._unread_bytes += len(piece)
                if self._unread_bytes > MAX_UNREAD_BYTES and not self._paused:
                    self._paused = True
                    self._transport.pause_reading()
        if self._reader.complete or not self._wanted_whole:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for the answer learns that there will be none, or that this was all."""
        try:
            self._reader.end()
        except Damaged as damaged:
            self._break(Disconnected(str(error or damaged)))
        else:
            self._wake()
        self._broken = self._broken or Disconnected("the connection is closed")
        if not self.closed.done():
            self.closed.set_result(None)

    # --- one exchange ---

    async def ask(self, request: bytes) -> Head:
        """Send a request; the beginning of its answer. Disconnected."""
        if self._broken is not None:
            raise self._broken
        self._reader = AnswerReader()
        self._pieces.clear()
        self._wanted_whole = self._streaming = False
        self._transport.write(request)
        while self._reader.head is None:
            await self._wait()
        return self._reader.head

    async def whole(self) -> bytes:
        """The body of the answer. Disconnected."""
        self._wanted_whole = True
        while not self._reader.complete:
            await self._wait()
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def piece(self) -> bytes:
        """What came of the body since the last time; b"": that was all. Disconnected."""
        self._streaming = True
        while not self._pieces and not self._reader.complete:
            await self._wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._unread_bytes = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return piece

    @property
    def usable(self) -> bool:
        """Whether another request may be sent now."""
        return self._broken is None and self._reader.complete and self._reader.reusable

    def close(self) -> None:
        """End it in order."""
        self._transport.close()

    def abort(self) -> None:
        """End it at once: what is under way on it is nobody's any more."""
        self._transport.abort()

    async def _wait(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, error: Disconnected) -> None:
        self._broken = self._broken or error
        self._wake()


class Pool:
    """The connections to one server under one identity. Connects in the loop that runs then."""

    def __init__(self, access: ClusterAccess, limit: int) -> None:
        """ssl.SSLError for certificates that are none."""
        url = urlsplit(access.server)
        self.prefix = url.path.rstrip("/")
        """What precedes the path of every request."""
        self._port = url.port or _PORTS.get(url.scheme, 443)
        self._host = url.hostname or ""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.host = shown if self._port == _PORTS.get(url.scheme) else f"{shown}:{self._port}"
        self._tls: ssl.SSLContext | None = tls_context(access) if url.scheme == "https" else None
        self._server_name = access.tls_server_name or self._host
        self._places = asyncio.Semaphore(limit)
        self._idle: deque[Connection] = deque()
        self._taken: set[Connection] = set()
        self._ending: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._retired = False

    @property
    def busy(self) -> bool:
        """Whether requests are under way."""
        return bool(self._taken)

    async def take(self) -> Connection:
        """A connection for one request, to be given back. Unreachable, TimeoutError."""
        await self._places.acquire()
        try:
            connection = self._kept() or await self._connect()
        except BaseException:
            self._places.release()
            raise
        self._taken.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """The request is over, however it ended."""
        self._taken.discard(connection)
        self._places.release()
        if not connection.usable:
            self._end(connection, in_order=False)
        elif self._retired:
            self._end(connection, in_order=True)
        else:
            loop = asyncio.get_running_loop()
            connection.idle_since_s = loop.time()
            self._idle.append(connection)
            if self._sweeping is None:
                self._sweeping = loop.call_later(KEEP_ALIVE_S, self._sweep)

    def retire(self) -> None:
        """Close what idles, and what is under way when it is answered."""
        self._retired = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        while self._idle:
            self._end(self._idle.popleft(), in_order=True)

    async def close(self) -> None:
        """Close all, and wait for a moment at most until they are; requests under way fail."""
        self.retire()
        for connection in self._taken:
            connection.abort()
        ends = [connection.closed for connection in (*self._taken, *self._ending)]
        if ends:
            await asyncio.wait(ends, timeout=_CLOSE_TIMEOUT_S)

    def _kept(self) -> Connection | None:
        """The connection that was used last, if there is one that still can be."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._end(connection, in_order=False)
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._server_name if self._tls is not None else None,
                )
        except OSError as error:  # of TLS, too
            if isinstance(error, TimeoutError):
                raise
            raise Unreachable(f"cannot connect to {self.host}: {error}") from error
        return connection

    def _end(self, connection: Connection, *, in_order: bool) -> None:
        if connection.closed.done():
            return
        self._ending.add(connection)
        connection.closed.add_done_callback(lambda _: self._ending.discard(connection))
        connection.close() if in_order else connection.abort()

    def _sweep(self) -> None:
        """Close what has idled too long; the longest idle come first."""
        loop = asyncio.get_running_loop()
        before_s = loop.time() - KEEP_ALIVE_S
        while self._idle and self._idle[0].idle_since_s <= before_s:
            self._end(self._idle.popleft(), in_order=True)
        self._sweeping = None
        if self._idle:
            self._sweeping = loop.call_at(self._idle[0].idle_since_s + KEEP_ALIVE_S, self._sweep)
