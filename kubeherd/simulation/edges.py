"""The replaced edges of a simulated cluster: disk, process and network, each of which can fail."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from kubeherd.cluster.api.private.fence import KEY as FENCE
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Dropped,
    Response,
    UpgradeResponse,
    User,
    WatchResponse,
)
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    TransportError,
    TransportResponse,
    error_of,
)
from kubeherd.cluster.store.engine import Row
from kubeherd.simulation.virtualtime import PROCESS, VirtualLoop

COMMIT_S = 0.001
"""How long a group commit takes; a crash in between loses the group."""
LATENCY_S = 0.0005
"""One way between a client and the server."""
_CHUNKS_UNDER_WAY = 16
"""So many parts of a stream may be sent before its client takes one."""

T = TypeVar("T")


class Disk:
    """The rows that were committed: what survives a crash of the API server."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.compacted = 0
        self.history = hashlib.sha256()

    def open(self) -> int:
        return self.compacted

    def replay(self) -> Iterator[Row]:
        return iter(sorted(self.rows.values(), key=lambda row: row.revision))

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        await _loop().moment(COMMIT_S)
        self.keep(rows, drop, compacted)

    def keep(self, rows: Iterable[Row], drop: Sequence[int] = (), compacted: int = 0) -> None:
        """From now on these rows are there, whatever happens."""
        for row in rows:
            self.rows[row.revision] = row
            self.history.update(f"{row.revision} {row.deleted} {row.resource_key} ".encode())
            self.history.update(row.value)
        for revision in drop:
            self.rows.pop(revision, None)
        self.compacted = compacted

    async def close(self) -> None:
        return None


class Process:
    """A component that can be killed at any await, and frozen between any two steps.

    All that it starts runs in its context, so that the loop knows whose code it is.
    """

    def __init__(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        self.name = name
        context = copy_context()
        context.run(PROCESS.set, self)
        self.task = asyncio.create_task(body, name=name, context=context)

    def freeze(self) -> None:
        """SIGSTOP: none of its callbacks runs, what it has open stays open."""
        _loop().freeze(self)

    def thaw(self) -> None:
        """SIGCONT: the timers that have run out since are due now."""
        _loop().thaw(self)

    async def kill(self) -> None:
        """SIGKILL, of a frozen one as well."""
        self.task.cancel()
        self.thaw()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def alive(self) -> bool:
        return not self.task.done()


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("a simulated cluster runs on a virtual loop: virtualtime.run")
    return loop


class Serving:
    """An API server as the process that makes this one serves it: frozen and killed with it."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._context = copy_context()
        self.loop = _loop()

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let the server's process do this."""
        return self.loop.create_task(work, context=self._context.copy())

    async def answer(self, request: ApiRequest) -> Response:
        """What becomes of a request that was sent just now."""
        await self.loop.moment(LATENCY_S)
        return await self._api.handle(request)


class Network:
    """Who reaches the API server; answers get lost when it dies or a partition begins."""

    def __init__(self) -> None:
        self.api: Serving | None = None
        self.cut: set[str] = set()
        self.dying: set[str] = set()
        """Clients that are being killed: what they do on the way out reaches nobody."""
        self.requests = 0
        self._under_way: dict[asyncio.Future[None], str] = {}
        """Clients that wait for an answer or a part of one: done when there is no more hope."""

    def reachable(self, client: str) -> Serving:
        """The API server, TransportError if this client does not reach it."""
        if self.api is None or client in self.cut or client in self.dying:
            raise TransportError("connection refused")
        return self.api

    async def call(
        self, client: str, request: ApiRequest, timeout_s: float
    ) -> ApiResponse | WatchResponse:
        """The answer; TransportError when there is none within `timeout_s`.

        The server's part is done by the server's process, so that a frozen one lets its clients
        wait; a client that gives up or dies breaks its request off.
        """
        api = self.reachable(client)
        self.requests += 1
        answering = api.begin(api.answer(request))
        if not await self._ended(api.loop, answering, client, timeout_s, LATENCY_S):
            raise TransportError(f"{request.method} {request.path}: timed out")
        if answering.cancelled() or self.lost(client, api):
            raise TransportError("connection reset")
        answer = answering.result()
        if isinstance(answer, Dropped):
            raise TransportError("connection reset")
        if isinstance(answer, UpgradeResponse):
            raise TransportError("a session where an answer was expected")
        if isinstance(answer, WatchResponse):
            chunks = self._received(api, client, answer.chunks, timeout_s)
            return WatchResponse(chunks, answer.content_type, answer.headers)
        return answer

    async def _ended(
        self,
        loop: VirtualLoop,
        task: asyncio.Task[Any],
        client: str,
        timeout_s: float,
        after_s: float = 0.0,
    ) -> bool:
        """Wait for the server's task, and `after_s` more; False if that takes too long. It is
        cancelled if it has not ended when the client does not wait any more."""
        told = loop.create_future()
        timer = loop.call_later(timeout_s, _tell, told)
        task.add_done_callback(lambda _task: loop.call_later(after_s, _tell, told))
        self._under_way[told] = client
        try:
            await told
        finally:
            timer.cancel()
            del self._under_way[told]
            broken_off = task.cancel()
        return not broken_off or loop.time() < timer.when()

    async def _received(
        self, api: Serving, client: str, chunks: AsyncGenerator[bytes, None], timeout_s: float
    ) -> AsyncGenerator[bytes, None]:
        """A stream as the client sees it: `timeout_s` for each chunk."""
        arrived: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        sending = api.begin(_send(chunks, arrived))
        try:
            while not self.lost(client, api):
                arrival = asyncio.create_task(arrived.get())
                if not await self._ended(api.loop, arrival, client, timeout_s):
                    raise TransportError("timed out")
                if arrival.cancelled() or self.lost(client, api):
                    break
                if not arrival.result():
                    return
                yield arrival.result()
            raise TransportError("connection reset")
        finally:
            sending.cancel()

    def lost(self, client: str, api: Serving | None) -> bool:
        """Whether a connection that was made to `api` is broken by now."""
        return self.api is not api or client in self.cut

    def break_off(self, clients: Iterable[str] | None = None) -> None:
        """End the requests under way of these clients (None: of all)."""
        wanted = None if clients is None else set(clients)
        for told, client in self._under_way.items():
            if wanted is None or client in wanted:
                _tell(told)


async def _send(chunks: AsyncGenerator[bytes, None], arrived: asyncio.Queue[bytes]) -> None:
    """The server's end of a stream; an empty chunk is its end."""
    try:
        async for chunk in chunks:
            await arrived.put(chunk)
    finally:
        await chunks.aclose()
    await arrived.put(b"")


def _tell(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class InProcessTransport:
    """`cluster.client.transport.Transport` without sockets."""

    def __init__(self, network: Network, client: str, user: User) -> None:
        self._network = network
        self._client = client
        self._user = user

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
        headers = {"user-agent": self._client}
        if accept:
            headers["accept"] = accept
        if content_type:
            headers["content-type"] = content_type
        if fence:
            headers[FENCE] = fence
        sent = ApiRequest(method, path, query or {}, headers, body or b"", self._user)
        answer = await self._network.call(self._client, sent, timeout_s)
        if not isinstance(answer, ApiResponse):
            await answer.chunks.aclose()
            raise TransportError("a stream where an answer was expected")
        return _received(answer)

    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`."""
        headers = {"user-agent": self._client}
        if accept:
            headers["accept"] = accept
        sent = ApiRequest("GET", path, query or {}, headers, b"", self._user)
        answer = await self._network.call(self._client, sent, timeout_s)
        if isinstance(answer, ApiResponse):
            raise error_of(_received(answer))
        async with aclosing(answer.chunks) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        """Nothing is open."""
        return


def _received(answer: ApiResponse) -> TransportResponse:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return TransportResponse(answer.status, answer.body, answer.content_type, headers)
