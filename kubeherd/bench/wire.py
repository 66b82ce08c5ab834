"""HTTP/1.1 by hand, for load generators that must cost less than what they load."""

import asyncio
from collections import deque
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess

JSON: Final = "application/json"
_LENGTH: Final = b"content-length: "
_END: Final = b"\r\n\r\n"


class Answer(msgspec.Struct, frozen=True):
    """An answer with a body of a known length."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One connection. Requests are sent one after the other, each when the one before is answered;
    answers without a Content-Length end it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bytes, asyncio.Future[Answer]]] = deque()
        self._under_way: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for an answer gets none."""
        self._lost = True
        waiting = [future for _, future in self._waiting]
        for future in (*waiting, *((self._under_way,) if self._under_way else ())):
            if not future.done():
                future.set_exception(ConnectionError(f"the connection was lost: {error}"))
        self._waiting.clear()

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request when its turn comes. The future has ConnectionError without an answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._lost:
            future.set_exception(ConnectionError("the connection was lost"))
        else:
            self._waiting.append((request, future))
            self._go_on()
        return future

    def close(self) -> None:
        """End it."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Give out the answer when it is complete."""
        self._buffer += data
        while self._under_way is not None:
            end = self._buffer.find(_END)
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower() + b"\r\n"
            begin = head.find(_LENGTH)
            if begin < 0:
                self._transport.abort()
                return
            length = int(head[begin + len(_LENGTH) : head.index(b"\r\n", begin)])
            size = end + len(_END) + length
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[end + len(_END) : size])
            del self._buffer[:size]
            future, self._under_way = self._under_way, None
            if not future.done():
                future.set_result(Answer(int(head[9:12]), body))
            self._go_on()

    def _go_on(self) -> None:
        if self._under_way is None and self._waiting:
            request, self._under_way = self._waiting.popleft()
            self._transport.write(request)


def message(
    verb: str,
    path: str,
    host: str,
    body: bytes,
    content_type: str = JSON,
    headers: str = "",
) -> bytes:
    """A request as it goes over the wire; `headers`: whole lines besides those of the body."""
    head = f"{verb} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"
    if body:
        head += f"Content-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def connected(access: ClusterAccess, count: int) -> list[Connection]:
    """So many connections to a cluster's API server. OSError, ssl.SSLError."""
    url, context = urlsplit(access.server), tls_context(access)
    host, port = url.hostname or "", url.port or 443
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(Connection, host, port, ssl=context))[1] for _ in range(count)
    ]
