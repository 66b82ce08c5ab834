"""One connection of HTTP/2 as its client: streams, flow control, and how both end. Pure.

`receive` takes what came, `outgoing` is what has to be sent. Invariants: nothing is sent that the
other side has given no room for; a stream is told that it ended once, and by `status` whether that
was certainly before anybody could carry out what it asks.
"""

from collections import deque
from typing import Final

from kubeherd.cluster.store.etcd.grpc import frames
from kubeherd.cluster.store.etcd.grpc.frames import FrameReader, Garbled
from kubeherd.cluster.store.etcd.grpc.headers import MAX_BLOCK_BYTES, Answer, AnswerReader
from kubeherd.cluster.store.etcd.grpc.status import NOT_CARRIED_OUT, code_name, of_reset

STREAM_WINDOW_BYTES: Final = 4 << 20
"""So much of one answer may be under way or wait until it is read."""

_MAX_WINDOW: Final = 0x7FFF_FFFF
_DEFAULT_WINDOW: Final = 65535
_TABLE_SIZE, _PUSH, _STREAMS, _WINDOW, _FRAME = 1, 2, 3, 4, 5
_NO_ERROR, _CANCEL = 0, 8
_LAST_ID: Final = _MAX_WINDOW - 2
_PING: Final = b"kubeherd"


class Stream:
    """One call on a connection. Who asks overrides `received` and `ended`."""

    def __init__(self) -> None:
        self.id = 0
        """0: not begun, or ended."""
        self.block = b""
        self.unsent = bytearray()
        self.complete = False
        """Nothing comes after `unsent`."""
        self.sent_all = False
        self.room = 0
        """Bytes that may be sent to the other side."""
        self.allowed = STREAM_WINDOW_BYTES
        """Bytes that it may send to us."""
        self.owed = 0
        """Bytes that were read, and that it does not know of yet."""

    def received(self, payload: bytes) -> None:
        """More of the answer has come. Whoever has read it tells `Connection.consumed`."""

    def ended(self, code: str, details: str) -> None:
        """It is over; `code` as in `status`, OK where all is well."""


class Connection:
    """See the module."""

    def __init__(self) -> None:
        self.outgoing = bytearray(frames.PREFACE)
        ours = {_TABLE_SIZE: 0, _PUSH: 0, _WINDOW: STREAM_WINDOW_BYTES}
        self.outgoing += frames.settings(ours)
        self._unread = 0
        self._give_room(_MAX_WINDOW - _DEFAULT_WINDOW)
        self.greeted = False
        """The other side has said how it wants to be talked to."""
        self.leaving = False
        """It takes no new streams."""
        self.streams: dict[int, Stream] = {}
        self._waiting: deque[Stream] = deque()
        self._held: dict[int, Stream] = {}
        self._next_id = 1
        self._room = _DEFAULT_WINDOW
        self._stream_room = _DEFAULT_WINDOW
        self._frame_bytes = frames.MAX_FRAME_BYTES
        self._max_streams = _MAX_WINDOW
        self._reader = FrameReader()
        self._answers = AnswerReader()
        self._part: tuple[int, int, bytes] | None = None
        self._takers = {
            frames.HEADERS: self._take_headers,
            frames.CONTINUATION: self._take_continuation,
            frames.RST_STREAM: self._take_reset,
            frames.SETTINGS: self._take_settings,
            frames.PUSH_PROMISE: self._take_promise,
            frames.PING: self._take_ping,
            frames.GOAWAY: self._take_goaway,
            frames.WINDOW_UPDATE: self._take_room,
        }

    # --- asking ---

    def begin(self, stream: Stream, block: bytes, body: bytes, *, complete: bool) -> None:
        """Ask with this header block; it waits while there are as many as the other side takes."""
        stream.block, stream.complete = block, complete
        stream.unsent += body
        if self._waiting or len(self.streams) >= self._max_streams:
            self._waiting.append(stream)
        else:
            self._start(stream)

    def _start(self, stream: Stream) -> None:
        if self.leaving or self._next_id > _LAST_ID:
            self.leaving = True
            stream.ended(NOT_CARRIED_OUT, "it takes no more calls on this connection")
            return
        stream.id = self._next_id
        self._next_id += 2
        self.streams[stream.id] = stream
        stream.room = self._stream_room
        self.outgoing += frames.frame(frames.HEADERS, frames.END_HEADERS, stream.id, stream.block)
        self._send(stream)

    def send(self, stream: Stream, body: bytes) -> None:
        """More of a request that is not complete."""
        stream.unsent += body
        if stream.id:
            self._send(stream)

    def _send(self, stream: Stream) -> None:
        """As much as there is room for."""
        unsent = stream.unsent
        while unsent:
            size = min(len(unsent), self._frame_bytes, self._room, stream.room)
            if size <= 0:
                self._held[stream.id] = stream
                return
            self._room -= size
            stream.room -= size
            last = stream.complete and size == len(unsent)
            flags = frames.END_STREAM if last else 0
            self.outgoing += frames.frame(frames.DATA, flags, stream.id, bytes(unsent[:size]))
            del unsent[:size]
        self._held.pop(stream.id, None)
        stream.sent_all = stream.complete

    def cancel(self, stream: Stream) -> None:
        """Nobody wants the answer any more; the stream is told nothing."""
        if not stream.id:
            if stream in self._waiting:
                self._waiting.remove(stream)
            return
        self.outgoing += frames.number(frames.RST_STREAM, stream.id, _CANCEL)
        self._forget(stream)

    def consumed(self, stream: Stream, size: int) -> None:
        """So many bytes of an answer were read: the other side may send as many more."""
        stream.owed += size
        if stream.id and stream.owed >= STREAM_WINDOW_BYTES // 2:
            self.outgoing += frames.number(frames.WINDOW_UPDATE, stream.id, stream.owed)
            stream.allowed += stream.owed
            stream.owed = 0

    # --- being answered ---

    def receive(self, data: bytes) -> None:
        """What came next. Garbled: the connection has to be closed."""
        for kind, flags, stream_id, payload in self._reader.feed(data):
            if kind == frames.DATA and self._part is None:
                self._take_data(flags, stream_id, payload)
                continue
            if self._part is not None and kind != frames.CONTINUATION:
                raise Garbled("headers that are interrupted")
            if not self.greeted and kind != frames.SETTINGS:
                raise Garbled("it does not begin with its settings")
            taker = self._takers.get(kind)
            if taker is not None:
                taker(flags, stream_id, payload)

    def lost(self, details: str) -> None:
        """Nothing more will come or go."""
        self.leaving = True
        waiting, self._waiting = self._waiting, deque()
        for stream in list(self.streams.values()):
            self._end(stream, "UNAVAILABLE" if stream.sent_all else NOT_CARRIED_OUT, details)
        for stream in waiting:
            stream.ended(NOT_CARRIED_OUT, details)

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._unread += size
        if self._unread >= _MAX_WINDOW // 2:
            self._give_room(self._unread)
        stream = self._stream(stream_id)
        if stream is None:
            return
        stream.allowed -= size
        if stream.allowed < 0:
            raise Garbled("more of an answer than was allowed")
        answer = frames.content(frames.DATA, flags, payload)
        if len(answer) != size:
            self.consumed(stream, size - len(answer))
        stream.received(answer)
        if flags & frames.END_STREAM:
            self._end(stream, "INTERNAL", "it ended an answer without a status")

    def _take_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = frames.content(frames.HEADERS, flags, payload)
        if flags & frames.END_HEADERS:
            self._answer(flags, stream_id, block)
        else:
            self._part = (flags, stream_id, block)

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._part is None or self._part[1] != stream_id:
            raise Garbled("the rest of headers that were not begun")
        begun, _, block = self._part
        block += payload
        if len(block) > MAX_BLOCK_BYTES:
            raise Garbled("headers that are too large")
        self._part = (begun, stream_id, block)
        if flags & frames.END_HEADERS:
            self._part = None
            self._answer(begun, stream_id, block)

    def _answer(self, flags: int, stream_id: int, block: bytes) -> None:
        stream = self._stream(stream_id)
        if stream is None:
            return
        answer = self._answers.read(block)
        if flags & frames.END_STREAM:
            self._end(stream, *_status(answer))
        elif answer.http_status not in ("", "200"):
            self.cancel(stream)
            stream.ended(*_status(answer))

    def _take_reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        error = frames.read_number(payload)
        stream = self._stream(stream_id)
        if stream is not None:
            self._forget(stream)
            stream.ended(*of_reset(error))

    def _take_settings(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        self.greeted = True
        for key, value in frames.read_settings(payload):
            if key == _STREAMS:
                self._max_streams = value
            elif key == _WINDOW:
                for stream in self.streams.values():
                    stream.room += value - self._stream_room
                self._stream_room = value
            elif key == _FRAME:
                self._frame_bytes = max(value, frames.MAX_FRAME_BYTES)
        self.outgoing += frames.frame(frames.SETTINGS, frames.ACK, 0, b"")
        self._go_on()

    def _take_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise Garbled("a promise, which was forbidden")

    def _take_ping(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if len(payload) != len(_PING):
            raise Garbled("a ping of a wrong length")
        if not flags & frames.ACK:
            self.outgoing += frames.frame(frames.PING, frames.ACK, 0, payload)

    def _take_goaway(self, _flags: int, _stream_id: int, payload: bytes) -> None:
        last = frames.read_number(payload)
        self.leaving = True
        unheard = list(self._waiting)
        self._waiting.clear()
        for stream in [one for one in self.streams.values() if one.id > last]:
            self._forget(stream)
            unheard.append(stream)
        for stream in unheard:
            stream.ended(NOT_CARRIED_OUT, "it goes away")

    def _take_room(self, _flags: int, stream_id: int, payload: bytes) -> None:
        more = frames.read_number(payload)
        stream = self._stream(stream_id) if stream_id else None
        if stream is not None:
            stream.room += more
        elif not stream_id:
            self._room += more
        if self._room > _MAX_WINDOW or (stream is not None and stream.room > _MAX_WINDOW):
            raise Garbled("more room than there can be")
        self._go_on()

    # --- both ---

    def ping(self) -> None:
        """Ask whether the other side is there; whatever comes next is an answer."""
        self.outgoing += frames.frame(frames.PING, 0, 0, _PING)

    def _give_room(self, size: int) -> None:
        """For all streams together there is as much as there can be: each has its own bound."""
        self.outgoing += frames.number(frames.WINDOW_UPDATE, 0, size)
        self._unread = 0

    def _go_on(self) -> None:
        """Send what waited."""
        while self._waiting and len(self.streams) < self._max_streams:
            self._start(self._waiting.popleft())
        for stream in list(self._held.values()):
            self._send(stream)

    def _stream(self, stream_id: int) -> Stream | None:
        """The stream of what came; None if it has ended. Garbled if it was never begun."""
        stream = self.streams.get(stream_id)
        if stream is None and (stream_id >= self._next_id or not stream_id % 2):
            raise Garbled("an answer that nobody asked for")
        return stream

    def _end(self, stream: Stream, code: str, details: str) -> None:
        if not stream.sent_all:
            self.cancel(stream)
        elif stream.id:
            self._forget(stream)
        stream.ended(code, details)

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.id]
        self._held.pop(stream.id, None)
        stream.id = 0
        if self._waiting:
            self._go_on()


def _status(answer: Answer) -> tuple[str, str]:
    """Code and details of the headers that end a call."""
    if answer.code:
        return code_name(answer.code), answer.details
    if answer.http_status not in ("", "200"):
        return "UNKNOWN", f"it answered with HTTP status {answer.http_status[:3]}"
    return "INTERNAL", "it ended an answer without a status"
