"""A connection whose plain requests go past aiohttp, and all connections of a server.

A plain request (`requests`) is answered in one of three ways: in the step in which it arrives; in a
group with requests of other connections; or in a task of its own. All other data go to aiohttp as
they are. Invariants: a connection answers one request after the other, whichever way each of them
goes; of what arrives meanwhile at most `_HELD_BYTES` are kept, and what was read last.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from kubeherd.cluster.apiserver.edge.connection import (
    IDLE_TIMEOUT_S,
    PIECE_BYTES,
    Connection,
    paced,
)
from kubeherd.cluster.apiserver.edge.joined import Body
from kubeherd.cluster.apiserver.edge.plain import gathering, requests, resting

_LINE_BYTES = 64 * 1024
_HELD_BYTES = 64 * 1024
PARTIAL_S = 1.0
"""How long the rest of a plain request may take to arrive; after that aiohttp waits for it."""


class _Partial(msgspec.Struct, eq=False):
    """A plain request of which a part has arrived."""

    size: int
    """Bytes of the whole request."""
    timer: asyncio.TimerHandle
    """Ends the wait for the rest."""
    come: bytearray
    """What has arrived."""


class PlainConnection(Connection):
    """One client connection: answers plain requests itself, and leaves all others to aiohttp."""

    __slots__ = (
        "_clean",
        "_connections",
        "_held",
        "_partial",
        "_plain",
        "_rested_at_s",
        "_rhythm",
        "raw",
    )

    def __init__(self, connections: "Connections", **kwargs: Any) -> None:
        super().__init__(connections, **kwargs)
        self._connections = connections
        self.raw: socket.socket | None = None
        """The socket below TLS, where the connection may rest between heartbeats."""
        self._plain: asyncio.Task[None] | None = None
        """The task that answers a plain request now, if there is one."""
        self._held = bytearray()
        """What arrived while a plain request is being answered."""
        self._partial: _Partial | None = None
        self._rested_at_s = 0.0
        """When the last plain answer was given, in the event loop's time; 0: there was none."""
        self._rhythm: resting.Rhythm | None = None
        """None: there was no heartbeat on this connection."""
        self._clean = True
        """Whether all that was left to aiohttp were whole requests, so that the next byte begins a
        request."""

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._partial is not None:
            self._partial.timer.cancel()
        super().connection_lost(exc)
        self._wakes()

    def data_received(self, data: bytes) -> None:
        """Take a plain request; leave all else to aiohttp."""
        if self.taken_over is not None or not data:  # aiohttp tells itself to go on so
            super().data_received(data)
            return
        if self._plain is not None:
            self._hold(data)
            return
        if (partial := self._partial) is not None:
            partial.come += data
            if len(partial.come) < partial.size:
                return
            data = self._all_of(partial)
        request = requests.read(data) if self._clean else None
        whole = isinstance(request, requests.Plain | requests.Whole)
        if not self._awaits_request():  # a quick client: aiohttp has answered, and is not done
            self._leave_to_aiohttp(data, whole=whole)
            return
        look_s = None if self._rhythm is None else self._wakes()
        if self._connections.takes_plain() and not self.ending:
            if isinstance(request, requests.Plain):
                self._take(request, look_s)
                return
            if isinstance(request, requests.Partial):
                self._await_rest(data, request.size)
                return
        self._leave_to_aiohttp(data, whole=whole)

    def _leave_to_aiohttp(self, data: bytes, *, whole: bool) -> None:
        """`whole`: the data are exactly one request."""
        if not whole:
            self._clean = False
        super().data_received(data)

    def _await_rest(self, data: bytes, size: int) -> None:
        """Wait a moment for the rest of a plain request of `size` bytes."""
        timer = self._loop.call_later(PARTIAL_S, self._leave_partial)
        self._partial = _Partial(size, timer, bytearray(data))

    def _all_of(self, partial: _Partial) -> bytes:
        """End the wait for the rest of a request; what has arrived of it."""
        partial.timer.cancel()
        self._partial = None
        return bytes(partial.come)

    def _leave_partial(self) -> None:
        """The rest of a plain request has not arrived in time."""
        if self._partial is not None:
            self._leave_to_aiohttp(self._all_of(self._partial), whole=False)

    def _hold(self, data: bytes) -> None:
        """Keep what arrives while a plain request is answered; stop reading if that is much."""
        self._held += data
        if len(self._held) > _HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _wakes(self) -> float | None:
        """End the connection's rest; returns what `Resting.leave` does."""
        return None if self.raw is None else self._connections.resting.leave(self.raw)

    def _take(self, request: requests.Plain, look_s: float | None) -> None:
        """Have a plain request answered; `look_s` is what `_wakes` returned."""
        self.asked = True
        rhythm = self._rhythm
        if gathering.is_heartbeat(request.method, request.path):
            silent_s = self._loop.time() - self._rested_at_s if self._rested_at_s else 0.0
            if rhythm is None:
                rhythm = self._rhythm = resting.Rhythm()
            rhythm.beat(silent_s, look_s)
            # At a look, the heartbeats of other connections are found together with this one.
            wait_s = gathering.patience_s(silent_s) if look_s is None else 0.0
            self._plain = self._connections.gathering.join((self, request), wait_s)
            return
        if rhythm is not None:
            rhythm.breaks()
        if gathering.goes_together(request.method, request.path):
            self._plain = self._connections.gathering.join((self, request), 0.0)
        elif request.method != "GET" or not self._connections.read(self, request):
            self.answer_alone(request)

    def answer_alone(self, request: requests.Plain) -> None:
        """Answer a plain request in a task of its own."""
        self._plain = self._loop.create_task(self._answer(request))

    async def _answer(self, request: requests.Plain) -> None:
        goes_on = False
        try:
            goes_on = await self._connections.plain(self, request)
        except ConnectionError:  # the client has gone
            pass
        except Exception as error:  # a bug: the connection ends
            self.log_exception(exc_info=error)
        finally:
            self.answered(goes_on=goes_on)

    def answered(self, *, goes_on: bool) -> None:
        """A plain request has been answered: end the connection, or wait for the next request."""
        self._plain = None
        if not goes_on or self.ending:
            self.force_close()
        elif self.transport is not None:
            rhythm = self._rhythm
            if rhythm is not None and rhythm.look_s and self.raw is not None and not self._held:
                self._connections.resting.rest(self.raw, rhythm.look_s)
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
        """As in aiohttp: the request that is being answered has this time to end."""
        for _ in range(2):  # a request of a group may be answered alone after it
            if (answering := self._plain) is not None:
                await asyncio.wait({answering}, timeout=timeout)
                answering.cancel()
        await super().shutdown(timeout)

    def _end_of_silence(self) -> None:
        if self._partial is None:
            super()._end_of_silence()


PlainHandler = Callable[[PlainConnection, requests.Plain], Awaitable[bool]]
"""Answers a plain request; whether the connection goes on."""
Reader = Callable[[PlainConnection, requests.Plain], bool]
"""Answers a GET in the step in which it arrives, ahead of all else that is due; False if it
cannot."""
Gathered = tuple[PlainConnection, requests.Plain]
GatheredHandler = Callable[[Sequence[Gathered]], Coroutine[Any, Any, None]]
"""Answers a group of writes; those that it cannot answer it gives to `answer_alone`."""


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
        """`plain`, `read` and `together` answer plain requests, alone, at once and in groups, while
        `takes_plain`; `handler` answers all others."""
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

    def __call__(self) -> PlainConnection:
        return PlainConnection(self, loop=self._loop, **self._kwargs)

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
