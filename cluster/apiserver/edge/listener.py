"""Accepts connections, and ends those of clients that say nothing.

A socket waits here, costing a descriptor and nothing else, until its first bytes show that a TLS
handshake begins; only then is a connection made for it. What is plain HTTP gets the answer of Go's
net/http. Invariants: at most `max_connections` are open; each ends unless it moves on within
`HEADER_TIMEOUT_S`; when all are taken, the one that has been silent longest makes room, which is
logged; if there is none, new clients wait in the kernel's backlog.
"""

import asyncio
import errno
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from operator import itemgetter

from kubeherd.cluster.apiserver.edge.connection import HEADER_TIMEOUT_S
from kubeherd.cluster.apiserver.edge.plain.connection import Connections, PlainConnection
from kubeherd.cluster.apiserver.edge.tls import ServerContext
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.seldom import Seldom

MAX_CONNECTIONS = 50_000
_ACCEPTED_AT_ONCE = 64
"""Before anything else is done; of a shared socket one: who is idle takes the others."""
_PAUSE_S = 1.0
_RESERVED_DESCRIPTORS = 64
"""For the store, the logs and the event loop."""

_TLS_HANDSHAKE = b"\x16"
_HTTP_METHODS = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")
_PLAIN_HTTP_ANSWER = (
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)
_NO_MORE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """A listening socket, and the connections on it that are no HTTP yet."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        max_connections: int,
        *,
        shared: bool = False,
    ) -> None:
        """`shared`: other servers accept from the same socket."""
        self._connections = connections
        self._max_connections = max_connections
        self._shared = shared
        self._at_once = 1 if shared else _ACCEPTED_AT_ONCE
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._handshakes: dict[asyncio.Task[None], float] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self._tls: ServerContext | None = None
        self._exhausted = Seldom("connections_exhausted", clock)
        self._refused = Seldom("tls_handshake_failed", clock)

    def start(self, listening: socket.socket, tls: ServerContext) -> None:
        """Accept what comes to this socket, which is the listener's from now on."""
        self._socket = listening
        self._tls = tls
        tls.report = lambda reason: self._refused.warn(reason=reason)
        asyncio.get_running_loop().add_reader(listening, self._accept)

    async def stop(self) -> None:
        """Stop listening, and end what is no HTTP connection yet."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for waiting in tuple(self._silent):
            self._close(waiting)
        for handshake in (handshakes := tuple(self._handshakes)):
            handshake.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)

    def _accept(self) -> None:
        """Take what waits in the backlog, a bounded number at a time."""
        for _ in range(self._at_once):
            if self._socket is None:
                return
            if self._open >= self._max_connections:
                self._make_room("max_connections")
                return
            try:
                client, _address = self._socket.accept()
            except OSError as error:
                if error.errno in _NO_MORE:
                    self._make_room(errno.errorcode[error.errno])
                return
            client.setblocking(False)
            if not self._look(client):
                loop = asyncio.get_running_loop()
                loop.add_reader(client, self._look_again, client)
                self._silent[client] = loop.call_later(HEADER_TIMEOUT_S, self._close, client)

    @property
    def _open(self) -> int:
        return len(self._silent) + len(self._handshakes) + self._connections.open

    def _make_room(self, why: str) -> None:
        """End what has been silent longest; if nothing is, accept none for a while."""
        self._exhausted.warn(why=why, open=self._open, limit=self._max_connections)
        silent = [*self._oldest_silent()]
        if silent:
            _, end = min(silent, key=itemgetter(0))
            end()
        elif self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._pause = loop.call_later(_PAUSE_S, self._go_on)

    def _oldest_silent(self) -> Iterator[tuple[float, Callable[[], object]]]:
        """The oldest of those at each stage: by when its time is over, and how to end it now. All
        are kept in the order in which they came to their stage."""
        for client, timer in self._silent.items():
            yield timer.when(), partial(self._close, client)
            break
        for handshake, until_s in self._handshakes.items():
            yield until_s, partial(self._give_up, handshake)
            break
        connection = self._connections.oldest_silent()
        if connection is not None:
            yield connection.silent_until_s, connection.drop

    def _give_up(self, handshake: asyncio.Task[None]) -> None:
        del self._handshakes[handshake]
        handshake.cancel()

    def _go_on(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    # --- what is no TLS yet ---

    def _look_again(self, client: socket.socket) -> None:
        self._silent.pop(client).cancel()
        asyncio.get_running_loop().remove_reader(client)
        if not self._look(client):
            client.close()

    def _look(self, client: socket.socket) -> bool:
        """Decide by the first bytes what becomes of a client; False if there are none yet."""
        try:
            head = client.recv(len(_HTTP_METHODS[0]), socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            head = b""
        if head.startswith(_TLS_HANDSHAKE):
            loop = asyncio.get_running_loop()
            handshake = loop.create_task(self._handshake(client), name="tls-handshake")
            self._handshakes[handshake] = loop.time() + HEADER_TIMEOUT_S
            handshake.add_done_callback(lambda task: self._handshakes.pop(task, None))
            return True
        if head in _HTTP_METHODS:
            _answer_plain_http(client)
        client.close()
        return True

    def _close(self, client: socket.socket) -> None:
        self._silent.pop(client).cancel()
        asyncio.get_running_loop().remove_reader(client)
        client.close()

    def _made(self, client: socket.socket) -> PlainConnection:
        connection = self._connections()
        connection.shared, connection.raw = self._shared, client
        return connection

    async def _handshake(self, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(self._made, client),
                client,
                ssl=self._tls,
                ssl_handshake_timeout=HEADER_TIMEOUT_S,
            )
        except OSError:  # an ssl.SSLError is one too: reported where it happened
            client.close()


def _answer_plain_http(client: socket.socket) -> None:
    with suppress(OSError):
        client.recv(1 << 16)  # unread input would turn the end of the connection into a reset
        client.send(_PLAIN_HTTP_ANSWER)
        client.shutdown(socket.SHUT_WR)


def connection_limit() -> int:
    """How many clients this process can serve: raises its soft limit of open files to the hard one
    (as programs in Go do), and keeps some descriptors for other use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _RESERVED_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, soft - min(_RESERVED_DESCRIPTORS, soft // 4))
