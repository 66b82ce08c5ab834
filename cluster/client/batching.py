"""A transport that joins simultaneous writes to one request (ARCHITECTURE.md, "The private batch").

HTTP and TLS cost more than a small write itself, on both sides. A write is sent at once, as it is,
while few requests are under way. Otherwise it waits until one of them is answered, and is then sent
together with all others that wait. So nothing waits on purpose, and the busier the client, the
larger its batches. Events have a lane of their own with one request under way: in a rush of pods
they come a moment after what they tell of, not before. Invariants: a write has the outcome that it
would have had alone; TransportError if its batch got no answer; a server that does not know batches
gets none after the first; every write that waits is answered, or told to send.
"""

import asyncio
import itertools
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from enum import Enum, auto

import msgspec

from kubeherd.cluster.api.private import batch, grouppoll
from kubeherd.cluster.api.private.batch import BatchedRequest
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


class _Instruction(Enum):
    """What a waiting write gets instead of an answer."""

    SEND = auto()
    """A slot: it is to send itself, together with all that wait."""
    ALONE = auto()
    """The server knows no batches and carried out nothing: each request is to be sent alone."""


_Answers = Sequence[TransportResponse] | _Instruction


class _Write(msgspec.Struct, eq=False):
    """The writes of one caller at one moment; they fit into one request."""

    requests: Sequence[BatchedRequest]
    timeout_s: float
    outcome: "asyncio.Future[_Answers]"

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(len(request.body) for request in self.requests)


class Slots:
    """The number of requests that may be under way at a time, shared by some lanes.

    A process with several identities has a lane for each, because no request can have writes of
    two. If each lane had slots of its own, there would be more and smaller requests.
    """

    def __init__(self, parallel: int) -> None:
        self.free = parallel
        self._lanes: deque[_Lane] = deque()

    def join(self, lane: "_Lane") -> None:
        """Add a lane."""
        self._lanes.append(lane)

    def pass_on(self) -> None:
        """Give a free slot, if there is one, to a waiting write; lane after lane."""
        for _ in range(len(self._lanes)):
            lane = self._lanes[0]
            self._lanes.rotate(-1)
            if self.free and lane.take_slot():
                return


class ProcessSlots(msgspec.Struct, frozen=True):
    """The slots of a process, for events and for all other writes."""

    writes: Slots = msgspec.field(default_factory=lambda: Slots(PARALLEL_SENDS))
    events: Slots = msgspec.field(default_factory=lambda: Slots(PARALLEL_EVENT_SENDS))


class _Lane:
    """The waiting writes of one identity. Each request is sent by one of them, which has a slot."""

    def __init__(
        self,
        slots: Slots,
        send: Callable[[Sequence[BatchedRequest], float], Awaitable[_Answers]],
    ) -> None:
        self._slots = slots
        slots.join(self)
        self._send = send
        self._gathering = False
        """Whether a request is about to be sent, which takes along what waits."""
        self._waiting: deque[_Write] = deque()

    async def write(self, requests: Sequence[BatchedRequest], timeout_s: float) -> _Answers:
        """The answers to writes that fit one request; ALONE if each has to be sent alone."""
        write = _Write(requests, timeout_s, asyncio.get_running_loop().create_future())
        if self._slots.free and not self._gathering:
            self._slots.free -= 1
        else:
            told = await self._told(write)
            if told is not _Instruction.SEND:
                return told
        try:
            return await self._lead(write)
        finally:
            self._slots.free += 1
            self._slots.pass_on()

    async def _told(self, write: _Write) -> _Answers:
        """Wait for the answer in another's request, or for a slot."""
        self._waiting.append(write)
        outcome = write.outcome
        try:
            return await outcome
        except asyncio.CancelledError:
            given = outcome.done() and not outcome.cancelled() and outcome.exception() is None
            if given and outcome.result() is _Instruction.SEND:
                self._slots.free += 1
                self._slots.pass_on()
            raise

    def take_slot(self) -> bool:
        """Take a slot for the next write that waits; False if none does."""
        while self._waiting:
            following = self._waiting.popleft().outcome
            if not following.done():
                self._slots.free -= 1
                following.set_result(_Instruction.SEND)
                return True
        return False

    async def _lead(self, write: _Write) -> _Answers:
        """Send a write, which has a slot, together with those that wait."""
        self._gathering = True
        try:
            await asyncio.sleep(0)  # so that it takes along what is written in this very step
        finally:
            self._gathering = False
        others = self._take(write)
        self._slots.pass_on()  # there may be more than fit
        together = [write, *others]
        requests = [request for one in together for request in one.requests]
        try:
            answers = await self._send(requests, max(one.timeout_s for one in together))
        except BaseException as error:
            why = str(error) if isinstance(error, TransportError) else "given up by its sender"
            for other in others:
                if not other.outcome.done():
                    other.outcome.set_exception(TransportError(why))
            raise
        if isinstance(answers, _Instruction):
            shares: list[_Answers] = [answers] * len(together)
        else:
            ends = list(itertools.accumulate(len(one.requests) for one in together))
            shares = [answers[a:b] for a, b in itertools.pairwise([0, *ends])]
        for other, share in zip(others, shares[1:], strict=True):
            if not other.outcome.done():
                other.outcome.set_result(share)
        return shares[0]

    def _take(self, first: _Write) -> list[_Write]:
        """The waiting writes that fit into one request with the first."""
        taken: list[_Write] = []
        count, size = len(first.requests), first.size
        while self._waiting:
            write = self._waiting[0]
            count += len(write.requests)
            size += write.size
            if count > MAX_BATCH or size > MAX_BATCH_BYTES:
                break
            self._waiting.popleft()
            if not write.outcome.done():  # else it was cancelled
                taken.append(write)
        return taken


class BatchingTransport:
    """See `cluster.client.transport.Transport`. `inner` does the sending."""

    def __init__(self, inner: Transport, slots: ProcessSlots | None = None) -> None:
        """`slots` are shared with other transports of the process."""
        self._inner = inner
        self._known = False
        """The server has shown that it is kubeherd's, by an answer in msgpack."""
        self._renounced = False
        slots = slots or ProcessSlots()
        self._writes = _Lane(slots.writes, self._send)
        self._events = _Lane(slots.events, self._send)

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
        if waits or not self._gathers:
            return await self._alone(item, timeout_s)
        answers = await self._lane(item).write((item,), timeout_s)
        if isinstance(answers, _Instruction):
            return await self._alone(item, timeout_s)
        return _given(item, answers[0])

    async def request_all(
        self, writes: Sequence[BatchedRequest], timeout_s: float, parallel: int
    ) -> list[TransportResponse | TransportError]:
        """What becomes of each of several writes of one moment, of events or all of other objects.

        `parallel`: so many at a time may be under way to a server that does not know batches.
        """
        if not self._gathers:
            return await one_by_one(self._alone, writes, timeout_s, parallel)

        async def share(part: Sequence[BatchedRequest]) -> list[TransportResponse | TransportError]:
            try:
                answers = await self._lane(part[0]).write(part, timeout_s)
            except TransportError as lost:
                return [lost] * len(part)
            if isinstance(answers, _Instruction):
                return await one_by_one(self._alone, part, timeout_s, parallel)
            return list(map(_outcome, part, answers))

        parts = list(_parts(writes))
        if len(parts) == 1:
            return await share(parts[0])
        async with asyncio.TaskGroup() as tasks:
            shares = [tasks.create_task(share(part)) for part in parts]
        return [outcome for done in shares for outcome in done.result()]

    @property
    def _gathers(self) -> bool:
        return self._known and not self._renounced

    def _lane(self, write: BatchedRequest) -> _Lane:
        return self._events if _EVENT.search(write.path) else self._writes

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

    async def _send(self, writes: Sequence[BatchedRequest], timeout_s: float) -> _Answers:
        """Send writes in one request; their answers in order."""
        if len(writes) == 1:
            return [await self._alone(writes[0], timeout_s)]
        response = await self._inner.request(
            "POST",
            batch.PATH,
            body=batch.encode(writes),
            content_type=MSGPACK,
            accept=MSGPACK,
            timeout_s=timeout_s,
        )
        if response.status in _UNKNOWN:
            self._renounced = True
            return _Instruction.ALONE
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
        response = await alone(self._inner, request, timeout_s)
        if response.content_type.startswith(MSGPACK):
            self._known = True
        return response


async def alone(
    transport: Transport, request: BatchedRequest, timeout_s: float
) -> TransportResponse:
    """Send what could be a part of a batch as a request of its own."""
    return await transport.request(
        request.method,
        request.path,
        query=request.query or None,
        body=request.body or None,
        content_type=request.content_type,
        accept=request.accept,
        fence=request.fence,
        timeout_s=timeout_s,
    )


async def one_by_one(
    send: Callable[[BatchedRequest, float], Awaitable[TransportResponse]],
    writes: Sequence[BatchedRequest],
    timeout_s: float,
    parallel: int,
) -> list[TransportResponse | TransportError]:
    """What becomes of each write, `parallel` of them under way at a time."""
    slots = asyncio.Semaphore(parallel)

    async def one(write: BatchedRequest) -> TransportResponse | TransportError:
        async with slots:
            try:
                return await send(write, timeout_s)
            except TransportError as lost:
                return lost

    if len(writes) == 1:
        return [await one(writes[0])]
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(one(write)) for write in writes]
    return [done.result() for done in sent]


def _parts(writes: Sequence[BatchedRequest]) -> Iterator[Sequence[BatchedRequest]]:
    """The writes in their order, as many together as one request holds; each part holds one."""
    start = size = 0
    for index, write in enumerate(writes):
        size += len(write.body)
        if index > start and (index - start == MAX_BATCH or size > MAX_BATCH_BYTES):
            yield writes[start:index]
            start, size = index, len(write.body)
    yield writes[start:]


def _outcome(
    write: BatchedRequest, answer: TransportResponse
) -> TransportResponse | TransportError:
    """What an answer within a batch says of its write."""
    if answer.status != batch.NO_ANSWER:
        return answer
    return TransportError(f"{write.method} {write.path}: no answer")


def _given(write: BatchedRequest, answer: TransportResponse) -> TransportResponse:
    outcome = _outcome(write, answer)
    if isinstance(outcome, TransportError):
        raise outcome
    return outcome
