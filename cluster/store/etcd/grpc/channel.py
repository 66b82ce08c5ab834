"""A connection to one gRPC server on a socket: what is asked, for how long, and is anybody there.

Invariant: whatever was added to what has to be sent leaves in the same turn of the event loop, with
all else that was.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

from kubeherd.cluster.store.etcd.grpc import headers
from kubeherd.cluster.store.etcd.grpc.calls import Messages, Unary, framed
from kubeherd.cluster.store.etcd.grpc.connection import Connection, Stream
from kubeherd.cluster.store.etcd.grpc.frames import MAX_FRAME_BYTES, Garbled
from kubeherd.cluster.store.etcd.grpc.status import NOT_CARRIED_OUT, CallError

PING_AFTER_S = 10.0
"""A server that has said nothing for so long while it is asked is pinged; etcd forbids less than
5 s (its ``--grpc-keepalive-min-time``)."""

PING_ANSWER_S = 5.0
"""How long it may take to answer that."""

MAX_UNSENT_BYTES: Final = 64 << 20
"""A server that reads nothing and yet makes us send so much is left."""

BROKEN: Final = "the connection broke"
HUNG_UP: Final = "it hangs up: perhaps https where it wants http or the reverse"

Metadata: TypeAlias = Sequence[tuple[str, str]]


class Channel(asyncio.Protocol):
    """See the module. Made by `connect`; `metadata` goes with every call, `secrets` likewise."""

    def __init__(self, authority: str, scheme: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._authority, self._scheme = authority, scheme
        self._metadata: Metadata = ()
        self._secrets: Metadata = ()
        self._blocks: dict[tuple[str, float], bytes] = {}
        self._connection = Connection()
        self._transport: asyncio.Transport | None = None
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._flushing = False
        self._asked: set[Unary] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._heard_s = 0.0
        self._pinged_s = 0.0
        self._why = ""

    @property
    def ready(self) -> bool:
        """Whether it takes calls."""
        return self._connection.greeted and not self._connection.leaving

    @property
    def closed(self) -> bool:
        """Whether nothing can come any more."""
        return self._transport is None or self._transport.is_closing()

    def introduce(self, metadata: Metadata, secrets: Metadata) -> None:
        """What is said with every call from now on; `secrets` are not for logs and caches."""
        self._metadata, self._secrets = metadata, secrets
        self._blocks.clear()

    # --- asking ---

    async def ask(self, path: str, request: bytes, timeout_s: float) -> bytes:
        """The answer to a call with one request and one answer. CallError."""
        now_s = self._loop.time()
        call = Unary(self, now_s, now_s + timeout_s)
        self._begin(call, self._block(path, timeout_s), framed(request), complete=True)
        self._asked.add(call)
        self._wake_at(call.deadline_s)
        try:
            return await call.answer
        finally:
            self._asked.discard(call)
            if not call.answer.done() or call.answer.cancelled():
                self.cancel(call)

    def stream(self, path: str) -> Messages:
        """A call with messages both ways; that it could not begin is said to who reads it."""
        call = Messages(self)
        self._begin(call, self._block(path, 0.0), b"", complete=False)
        self._wake_at(self._loop.time() + PING_AFTER_S)
        return call

    def _begin(self, call: Stream, block: bytes, body: bytes, *, complete: bool) -> None:
        if not self.ready:
            call.ended(NOT_CARRIED_OUT, self._why or "it takes no more calls on this connection")
        elif len(block) > MAX_FRAME_BYTES:
            call.ended(NOT_CARRIED_OUT, "what is said with every call is too large")
        else:
            self._connection.begin(call, block, body, complete=complete)
            self._flush_soon()

    def _block(self, path: str, timeout_s: float) -> bytes:
        """The headers of a request; the same for all that ask for the same."""
        block = self._blocks.get((path, timeout_s))
        if block is None:
            fields = [
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "kubeherd"),
                *self._metadata,
            ]
            if timeout_s:
                fields.append(("grpc-timeout", f"{int(timeout_s * 1000)}m"))
            block = self._blocks[path, timeout_s] = headers.encode(fields, self._secrets)
        return block

    def consumed(self, stream: Stream, size: int) -> None:
        """See `Wire`."""
        self._connection.consumed(stream, size)
        self._flush_soon()

    def send(self, stream: Stream, body: bytes) -> None:
        """See `Wire`."""
        self._connection.send(stream, body)
        self._flush_soon()

    def cancel(self, stream: Stream) -> None:
        """See `Wire`."""
        self._connection.cancel(stream)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._connection.outgoing and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data, self._connection.outgoing = self._connection.outgoing, bytearray()
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._break("it reads nothing")

    # --- the socket ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard_s, self._pinged_s = self._loop.time(), 0.0
        try:
            self._connection.receive(data)
        except Garbled as error:
            known = self._connection.greeted
            self._break(f"it does not speak HTTP/2 as it should: {error}" if known else HUNG_UP)
            return
        if self._connection.greeted and not self._greeted.done():
            self._greeted.set_result(None)
        self._close_if_done()
        self._flush_soon()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end(reason(error, connected=self._connection.greeted))

    def _break(self, why: str) -> None:
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._connection.lost(self._why)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._greeted.done():
            self._greeted.set_exception(CallError("UNAVAILABLE", self._why))

    def retire(self) -> None:
        """Take no more calls, and close when none is under way."""
        self._connection.leaving = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._connection.leaving and not self._connection.streams:
            self._break("it goes away")

    async def greeted(self) -> None:
        """Return when the server has said how it wants to be talked to. CallError."""
        await self._greeted

    def close(self) -> None:
        """End all that is under way."""
        self._break("the connection is closed")

    # --- time ---

    def _wake_at(self, at_s: float) -> None:
        if self._timer is not None:
            if at_s >= self._timer_s:
                return
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._on_time)

    def _on_time(self) -> None:
        """End calls whose time is over; ping, and leave who does not answer that.

        A call to which nothing at all was heard makes it doubtful that there is anybody, too.
        """
        self._timer = None
        now_s = self._loop.time()
        over = [call for call in self._asked if call.deadline_s <= now_s]
        for call in over:
            self._asked.discard(call)
            code = "DEADLINE_EXCEEDED" if call.sent_all else NOT_CARRIED_OUT
            self.cancel(call)
            call.ended(code, "no answer in time")
        waited = bool(self._asked or self._connection.streams)
        if self._pinged_s:
            if now_s >= self._pinged_s + PING_ANSWER_S:
                self._break("it does not answer a ping")
                return
        elif any(call.begun_s > self._heard_s for call in over) or (
            waited and now_s >= self._heard_s + PING_AFTER_S
        ):
            self._pinged_s = now_s
            self._connection.ping()
            self._flush_soon()
        elif not waited:
            return
        next_s = self._pinged_s + PING_ANSWER_S if self._pinged_s else self._heard_s + PING_AFTER_S
        self._wake_at(min([next_s, *(call.deadline_s for call in self._asked)]))


async def connect(
    address: tuple[str, int], context: ssl.SSLContext | None, timeout_s: float
) -> Channel:
    """Connect to host and port, over TLS if there is a context for it. CallError."""
    host, port = address
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    channel = Channel(authority, "http" if context is None else "https")
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: channel, host, port, ssl=context, server_hostname=host if context else None
            )
            await channel.greeted()
    except TimeoutError:
        channel.close()
        raise CallError("UNAVAILABLE", "no answer in time") from None
    except OSError as error:
        raise CallError("UNAVAILABLE", reason(error, connected=False)) from None
    except BaseException:
        channel.close()
        raise
    return channel


def reason(error: Exception | None, *, connected: bool = True) -> str:
    """Why a connection broke or did not come about, in one line."""
    if isinstance(error, ssl.SSLError):
        return f"handshake failed: {error}"
    if isinstance(error, ConnectionRefusedError) or "Errno 111" in str(error):
        return "Connection refused"  # of several addresses asyncio tells in words
    if error is None or isinstance(error, ConnectionError):
        return BROKEN if connected else HUNG_UP
    return str(error)
