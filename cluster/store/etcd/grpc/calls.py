"""What is asked of a gRPC server: a request with one answer, or a stream of messages both ways.

Messages are bytes here. The connection tells them what comes; they wake up who waits for it.
"""

import asyncio
from collections import deque
from struct import Struct
from typing import Final, Protocol

from kubeherd.cluster.store.etcd.grpc.connection import Stream
from kubeherd.cluster.store.etcd.grpc.status import CallError

MAX_MESSAGE_BYTES: Final = 0x7FFF_FFFF
"""The most that protobuf can hold; answers are bounded by what is asked for."""

_PREFIX: Final = Struct(">BI")


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, with its length."""
    return _PREFIX.pack(0, len(message)) + message


def _length(data: bytes | bytearray) -> int:
    """The length of the message that begins here. CallError."""
    compressed, length = _PREFIX.unpack_from(data)
    if compressed:
        raise CallError("INTERNAL", "it answers with a compressed message")
    if length > MAX_MESSAGE_BYTES:
        raise CallError("RESOURCE_EXHAUSTED", "it answers with a message that is too large")
    return int(length)


class Wire(Protocol):
    """The connection as calls see it."""

    def consumed(self, stream: Stream, size: int) -> None:
        """So many bytes of an answer are not kept here any more."""

    def send(self, stream: Stream, body: bytes) -> None:
        """More of a request."""

    def cancel(self, stream: Stream) -> None:
        """Nobody wants the answer."""


class Unary(Stream):
    """A request with one answer. `answer` is its message, or raises CallError."""

    def __init__(self, wire: Wire, begun_s: float, deadline_s: float) -> None:
        """Times are the event loop's."""
        super().__init__()
        self.begun_s, self.deadline_s = begun_s, deadline_s
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wire = wire
        self._parts: list[bytes] = []
        self._size = 0

    def received(self, payload: bytes) -> None:
        """See `Stream`."""
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > MAX_MESSAGE_BYTES:
            self._wire.cancel(self)
            self.ended("RESOURCE_EXHAUSTED", "it answers with a message that is too large")
        self._wire.consumed(self, len(payload))

    def ended(self, code: str, details: str) -> None:
        """See `Stream`."""
        if self.answer.done():
            return
        if code != "OK":
            self.answer.set_exception(CallError(code, details))
            return
        try:
            self.answer.set_result(self._message())
        except CallError as error:
            self.answer.set_exception(error)

    def _message(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if len(data) < _PREFIX.size or _length(data) != len(data) - _PREFIX.size:
            raise CallError("INTERNAL", "it answers with no whole message")
        return data[_PREFIX.size :]


class Messages(Stream):
    """Messages both ways. What is not read is bounded by the stream's window and one message."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self._data = bytearray()
        """The begin of a message, of which the other side knows that it was consumed."""
        self._ready: deque[tuple[bytes, int]] = deque()
        """Messages, and how much of each the other side does not know to be consumed."""
        self._end: tuple[str, str] | None = None
        self._reader: asyncio.Future[None] | None = None

    def received(self, payload: bytes) -> None:
        """See `Stream`."""
        known = len(self._data)
        self._data += payload
        try:
            while len(self._data) >= _PREFIX.size:
                size = _PREFIX.size + _length(self._data)
                if len(self._data) < size:
                    break
                message = bytes(self._data[_PREFIX.size : size])
                self._ready.append((message, size - min(known, size)))
                known -= min(known, size)
                del self._data[:size]
        except CallError as error:
            self._wire.cancel(self)
            self.ended(error.code, error.details)
            return
        self._wire.consumed(self, len(self._data) - known)
        self._wake()

    def ended(self, code: str, details: str) -> None:
        """See `Stream`."""
        if self._end is None:
            self._end = code, details
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def write(self, message: bytes) -> None:
        """Send a message; one that comes too late is lost."""
        if self._end is None:
            self._wire.send(self, framed(message))

    async def read(self) -> bytes | None:
        """The next message; None where the other side has ended the stream. CallError."""
        while not self._ready:
            if self._end is not None:
                if self._end[0] == "OK":
                    return None
                raise CallError(*self._end)
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self.take()

    def take(self) -> bytes | None:
        """The next message if it is there."""
        if not self._ready:
            return None
        message, size = self._ready.popleft()
        self._wire.consumed(self, size)
        return message

    def cancel(self, why: str = "") -> None:
        """End it: who reads it is told so."""
        if self._end is None:
            self._wire.cancel(self)
            self.ended("CANCELLED", why)
