"""A transport that sends writes of the same moment together (ARCHITECTURE.md, "The private batch").

HTTP and TLS cost more than a small write itself, on both sides. One write alone goes out as it is
and at once; only while a few are under way the next ones gather, and then go out as one request. So
nothing waits on purpose, and the busier the client, the larger its batches. Events have a lane of
their own with one request under way: in a rush of pods they come a moment after what they tell of,
not before. Invariants: a write has the outcome that it would have had alone; TransportError if its
batch got no answer; a server that does not know batches gets none after the first; whoever waits
here is answered by whoever sends, or becomes the one who sends.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto

import msgspec

from kubeherd.cluster.api import batch, grouppoll
from kubeherd.cluster.api.batch import BatchedRequest
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    MSGPACK,
    Transport,
    TransportError,
    TransportResponse,
)

PARALLEL_SENDS = 4
PARALLEL_EVENT_SENDS = 1
MAX_BATCH = 64
MAX_BATCH_BYTES = 512 * 1024
"""Well below the server's limit for one body."""

_UNKNOWN = (404, 405, 415)
_EVENT = re.compile(r"/namespaces/[^/]+/events(/[^/]+)?$")


class _Turn(Enum):
    """What a waiting write is told instead of an answer."""

    SEND = auto()
    """Send, and take along who waits."""
    ALONE = auto()
    """The server knows no batches: nothing was carried out."""


_Outcome = TransportResponse | _Turn


class _Write(msgspec.Struct, eq=False):
    request: BatchedRequest
    timeout_s: float
    outcome: "asyncio.Future[_Outcome]"


class Turns:
    """How many requests may be under way at a time, in all lanes that share them.

    A process with several identities has a lane for each, and no request holds writes of two; with
    turns of its own each would send more and smaller ones.
    """

    def __init__(self, parallel: int) -> None:
        self.free = parallel
        self._lanes: deque[_Lane] = deque()

    def join(self, lane: "_Lane") -> None:
        """From now on the lane gets its turns here."""
        self._lanes.append(lane)

    def pass_on(self) -> None:
        """Give a turn to the next one who waits, if there is one to give; lane after lane."""
        for _ in range(len(self._lanes)):
            lane = self._lanes[0]
            self._lanes.rotate(-1)
            if self.free and lane.take_turn():
                return


class ProcessTurns(msgspec.Struct, frozen=True):
    """The turns of a process: for writes, and for events."""

    writes: Turns = msgspec.field(default_factory=lambda: Turns(PARALLEL_SENDS))
    events: Turns = msgspec.field(default_factory=lambda: Turns(PARALLEL_EVENT_SENDS))


class _Lane:
    """Writes of one identity, each request sent by one who waits and has a turn."""

    def __init__(
        self, turns: Turns, send: Callable[[Sequence[_Write]], Awaitable[Sequence[_Outcome]]]
    ) -> None:
        self._turns = turns
        turns.join(self)
        self._send = send
        self._gathering = False
        """Somebody is about to send: come along."""
        self._waiting: deque[_Write] = deque()

    async def write(self, write: _Write) -> _Outcome:
        """The answer to a write, or ALONE if it has to be sent alone."""
        if self._turns.free and not self._gathering:
            self._turns.free -= 1
        else:
            told = await self._told(write)
            if told is not _Turn.SEND:
                return told
        try:
            return await self._lead(write)
        finally:
            self._turns.free += 1
            self._turns.pass_on()

    async def _told(self, write: _Write) -> _Outcome:
        """Wait for the answer that another's request brings, or for the turn to send."""
        self._waiting.append(write)
        outcome = write.outcome
        try:
            return await outcome
        except asyncio.CancelledError:
            given = outcome.done() and not outcome.cancelled() and outcome.exception() is None
            if given and outcome.result() is _Turn.SEND:
                self._turns.free += 1
                self._turns.pass_on()
            raise

    def take_turn(self) -> bool:
        """Take a turn for the next one who waits; False if nobody does."""
        while self._waiting:
            following = self._waiting.popleft().outcome
            if not following.done():
                self._turns.free -= 1
                following.set_result(_Turn.SEND)
                return True
        return False

    async def _lead(self, write: _Write) -> _Outcome:
        """Send a write together with those that wait."""
        self._gathering = True
        try:
            await asyncio.sleep(0)  # what others write in this very step comes along
        finally:
            self._gathering = False
        others = self._take(len(write.request.body))
        self._turns.pass_on()  # there may be more than fit
        try:
            answers = await self._send([write, *others])
        except BaseException as error:
            why = str(error) if isinstance(error, TransportError) else "given up by its sender"
            for other in others:
                if not other.outcome.done():
                    other.outcome.set_exception(TransportError(why))
            raise
        for other, answer in zip(others, answers[1:], strict=True):
            if not other.outcome.done():
                other.outcome.set_result(answer)
        return answers[0]

    def _take(self, size: int) -> list[_Write]:
        taken: list[_Write] = []
        while self._waiting and len(taken) < MAX_BATCH - 1:
            write = self._waiting[0]
            size += len(write.request.body)
            if size > MAX_BATCH_BYTES:
                break
            self._waiting.popleft()
            if not write.outcome.done():  # else it was cancelled
                taken.append(write)
        return taken


class BatchingTransport:
    """See `cluster.client.transport.Transport`. `inner` does the sending."""

    def __init__(self, inner: Transport, turns: ProcessTurns | None = None) -> None:
        """`turns` are shared with others of the process."""
        self._inner = inner
        self._known = False
        """The server has shown that it is kubeherd's, by an answer in msgpack."""
        self._renounced = False
        turns = turns or ProcessTurns()
        self._writes = _Lane(turns.writes, self._send)
        self._events = _Lane(turns.events, self._send)

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
    ) -> TransportResponse:
        """As `Transport.request`."""
        asked = dict(query) if query else {}
        item = BatchedRequest(method, path, asked, content_type, accept, body or b"", fence)
        waits = method == "GET" or path == grouppoll.PATH
        if waits or not self._known or self._renounced:
            return await self._alone(item, timeout_s)
        lane = self._events if _EVENT.search(path) else self._writes
        write = _Write(item, timeout_s, asyncio.get_running_loop().create_future())
        answer = await lane.write(write)
        if not isinstance(answer, TransportResponse):
            return await self._alone(item, timeout_s)
        if answer.status == batch.NO_ANSWER:
            raise TransportError(f"{method} {path}: no answer")
        return answer

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`."""
        return self._inner.stream(path, query=query, accept=accept, timeout_s=timeout_s)

    async def close(self) -> None:
        """As `Transport.close`."""
        await self._inner.close()

    async def _send(self, writes: Sequence[_Write]) -> Sequence[_Outcome]:
        """Send writes in one request; their answers in order."""
        if len(writes) == 1:
            return [await self._alone(writes[0].request, writes[0].timeout_s)]
        response = await self._inner.request(
            "POST",
            batch.PATH,
            body=batch.encode([write.request for write in writes]),
            content_type=MSGPACK,
            accept=MSGPACK,
            timeout_s=max(write.timeout_s for write in writes),
        )
        if response.status in _UNKNOWN:
            self._renounced = True
            return [_Turn.ALONE] * len(writes)
        if response.status != 200:
            return [response] * len(writes)  # refused as a whole: nothing was carried out
        try:
            answers = batch.decode_answers(response.body)
        except msgspec.DecodeError as error:
            raise TransportError(f"the answer to a batch is damaged: {error}") from error
        if len(answers) != len(writes):
            raise TransportError(f"{len(answers)} answers to a batch of {len(writes)}")
        return [TransportResponse(a.status, a.body, a.content_type, a.headers) for a in answers]

    async def _alone(self, request: BatchedRequest, timeout_s: float) -> TransportResponse:
        response = await self._inner.request(
            request.method,
            request.path,
            query=request.query or None,
            body=request.body or None,
            content_type=request.content_type,
            accept=request.accept,
            fence=request.fence,
            timeout_s=timeout_s,
        )
        if response.content_type.startswith(MSGPACK):
            self._known = True
        return response
