"""The replaced edges of a simulated cluster: disk, process and network, each of which can fail."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Response,
    UpgradeResponse,
    User,
    WatchResponse,
)
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.client.transport import TransportError, TransportResponse, error_of
from kubeherd.cluster.store.engine import Row
from kubeherd.simulation.transport import Request, StubTransport

COMMIT_S = 0.001
"""How long a group commit takes; a crash in between loses the group."""
LATENCY_S = 0.0005
"""One way between a client and the server."""


class Disk:
    """The rows that were committed: what survives a crash of the API server."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.compacted = 0
        self.history = hashlib.sha256()
        self.on_commit: Callable[[Row], None] = lambda _row: None

    def open(self) -> int:
        return self.compacted

    def replay(self) -> Iterator[Row]:
        return iter(sorted(self.rows.values(), key=lambda row: row.revision))

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        await asyncio.sleep(COMMIT_S)
        for row in rows:
            self.rows[row.revision] = row
            self.history.update(f"{row.revision} {row.deleted} {row.resource_key} ".encode())
            self.history.update(row.value)
            self.on_commit(row)
        for revision in drop:
            self.rows.pop(revision, None)
        self.compacted = compacted

    async def close(self) -> None:
        return None


class Process:
    """A component as a task of its own that can be killed at any await."""

    def __init__(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        self.name = name
        self.task = asyncio.create_task(body, name=name)

    async def kill(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def alive(self) -> bool:
        return not self.task.done()


class Network:
    """Who reaches the API server; answers get lost when it dies or a partition begins."""

    def __init__(self) -> None:
        self.api: ApiServer | None = None
        self.cut: set[str] = set()
        self.requests = 0
        self._under_way: dict[asyncio.Task[Response], str] = {}

    def reachable(self, client: str) -> ApiServer:
        """The API server, TransportError if this client does not reach it."""
        if self.api is None or client in self.cut:
            raise TransportError("connection refused")
        return self.api

    async def call(
        self, client: str, request: ApiRequest, timeout_s: float
    ) -> ApiResponse | WatchResponse:
        api = self.reachable(client)
        self.requests += 1
        await asyncio.sleep(LATENCY_S)
        task = asyncio.create_task(api.handle(request))
        self._under_way[task] = client
        try:
            async with asyncio.timeout(timeout_s):
                answer = await task
            await asyncio.sleep(LATENCY_S)
        except TimeoutError:
            raise TransportError(f"{request.method} {request.path}: timed out") from None
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise  # the caller was killed, not the connection
            raise TransportError("connection reset") from None
        finally:
            del self._under_way[task]
        if self.lost(client, api):
            raise TransportError("connection reset")
        if isinstance(answer, UpgradeResponse):
            raise TransportError("a session where an answer was expected")
        return answer

    def lost(self, client: str, api: ApiServer | None) -> bool:
        """Whether a connection that was made to `api` is broken by now."""
        return self.api is not api or client in self.cut

    def break_off(self, clients: Iterable[str] | None = None) -> None:
        """End the requests under way of these clients (None: of all)."""
        wanted = None if clients is None else set(clients)
        for task, client in self._under_way.items():
            if wanted is None or client in wanted:
                task.cancel()


class InProcessTransport(StubTransport):
    """`cluster.client.transport.Transport` without sockets."""

    def __init__(self, network: Network, client: str, user: User) -> None:
        self._network = network
        self._client = client
        self._user = user

    async def answer(self, request: Request) -> TransportResponse:
        answer = await self._call(request)
        if not isinstance(answer, ApiResponse):
            await answer.chunks.aclose()
            raise TransportError("a stream where an answer was expected")
        return _received(answer)

    async def answer_stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        answer = await self._call(request)
        if isinstance(answer, ApiResponse):
            raise error_of(_received(answer))
        api = self._network.api
        try:
            async for chunk in answer.chunks:
                if self._network.lost(self._client, api):
                    raise TransportError("connection reset")
                yield chunk
        finally:
            await answer.chunks.aclose()

    async def _call(self, request: Request) -> ApiResponse | WatchResponse:
        headers = {
            "user-agent": self._client,
            "accept": request.accept,
            "content-type": request.content_type,
        }
        sent = ApiRequest(
            request.method,
            request.path,
            request.query,
            {name: value for name, value in headers.items() if value},
            request.body,
            self._user,
        )
        return await self._network.call(self._client, sent, request.timeout_s)


def _received(answer: ApiResponse) -> TransportResponse:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return TransportResponse(answer.status, answer.body, answer.content_type, headers)
