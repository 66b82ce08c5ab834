"""How a client sends requests: one, or several writes at the same time.

Invariants: an `ApiError` subclass for every refusal, `TransportError` when there was no answer; a
write is repeated only if the server said that it did not carry it out; that the server cannot be
reached is logged once, and again only after it was reached; each of several writes has the outcome
that it would have had alone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import structlog

from kubeherd.cluster.api.errors import ApiError, LeaseLost, UnsupportedMediaType
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.client.batching import BatchingTransport, alone, one_by_one
from kubeherd.cluster.client.fence import Fence
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    JSON,
    MSGPACK,
    Transport,
    TransportError,
    TransportResponse,
    error_of,
)
from kubeherd.cluster.runtime.clock import Clock

MAX_RETRIES = 10
MAX_RETRY_AFTER_S = 30
PARALLEL_WRITES = 64

_BOTH = f"{MSGPACK}, {JSON};q=0.9"
"""Accepted until it is known whether the server is kubeherd's, which then answers in msgpack. From
then on JSON is asked for, in which it stores objects."""
_RETRIED = (429, 500, 503, 504)

_log = structlog.get_logger(__name__)

Outcome = TransportResponse | ApiError | TransportError
"""The outcome of one of several writes."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """One of several writes, with its body encoded."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = ""
    query: Mapping[str, str] | None = None


class Sender:
    """Sends the requests of one identity; without `private_features` only such as any Kubernetes
    knows."""

    def __init__(
        self, transport: Transport, clock: Clock, *, private_features: bool = True
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._private_features = private_features
        self._server_speaks_msgpack = False
        self.unreachable = False
        """Whether the last request got no answer; this has been logged already."""
        self.fence: Fence | None = None
        """The leader's term under which this client writes, set by its controller manager."""

    @property
    def transport(self) -> Transport:
        """The way to the server; its owner closes it."""
        return self._transport

    @property
    def private(self) -> bool:
        """Whether the server is known to take msgpack bodies and long-polls, and may get them."""
        return self._private_features and self._server_speaks_msgpack

    def renounce_private_features(self) -> None:
        """The server turned out not to know them: JSON and streams from now on."""
        self._private_features = False

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """One request with encoded body; ApiError for an error status.

        As client-go, waits and repeats up to 10 times when the answer says Retry-After.
        """
        write = self._request(Write(method, path, body, content_type, query))
        response = await self._ask(write, timeout_s)
        if response.status < 300:
            self._learn(response)
            return response
        return await self._insist(write, response, timeout_s)

    async def send_all(
        self,
        writes: Sequence[Write],
        *,
        parallel: int = PARALLEL_WRITES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> list[Outcome]:
        """Send several writes at the same time, and return what `send` would return or raise for
        each. Either all of them are about events, or none.

        `parallel`: how many may be under way at a time if each needs a request of its own.
        """
        if not writes:
            return []
        requests = list(map(self._request, writes))
        if isinstance(self._transport, BatchingTransport):
            answers = await self._transport.request_all(requests, timeout_s, parallel)
        else:
            answers = await one_by_one(
                partial(alone, self._transport), requests, timeout_s, parallel
            )
        outcomes: list[Outcome] = []
        refused: list[int] = []
        for index, answer in enumerate(answers):
            outcomes.append(answer)
            if isinstance(answer, TransportError):
                self._lost(answer)
                continue
            self._found()
            if answer.status < 300:
                self._learn(answer)
            else:
                refused.append(index)
        if refused:
            await self._insist_all(requests, outcomes, refused, timeout_s)
        return outcomes

    async def _insist_all(
        self,
        requests: Sequence[BatchedRequest],
        outcomes: list[Outcome],
        refused: Sequence[int],
        timeout_s: float,
    ) -> None:
        """Repeat those that were refused as `send` does, and replace their outcomes."""

        async def one(index: int) -> None:
            first = outcomes[index]
            if isinstance(first, TransportResponse):
                try:
                    outcomes[index] = await self._insist(requests[index], first, timeout_s)
                except (ApiError, TransportError) as error:
                    outcomes[index] = error

        async with asyncio.TaskGroup() as tasks:
            for index in refused:
                tasks.create_task(one(index))

    def _request(self, write: Write) -> BatchedRequest:
        return BatchedRequest(
            write.method,
            write.path,
            dict(write.query) if write.query else {},
            write.content_type,
            _BOTH if self._private_features and not self._server_speaks_msgpack else JSON,
            write.body or b"",
            self._fence_header(write.method),
        )

    async def _ask(self, request: BatchedRequest, timeout_s: float) -> TransportResponse:
        """One answer of any status."""
        try:
            response = await alone(self._transport, request, timeout_s)
        except TransportError as lost:
            self._lost(lost)
            raise
        self._found()
        return response

    async def _insist(
        self, request: BatchedRequest, response: TransportResponse, timeout_s: float
    ) -> TransportResponse:
        """After a first answer that refused: wait and repeat as it says, or raise what it says."""
        for _ in range(MAX_RETRIES):
            retry_after = response.headers.get("retry-after", "")
            if response.status not in _RETRIED or not retry_after.isdigit():
                break
            await self._clock.sleep(min(int(retry_after), MAX_RETRY_AFTER_S))
            response = await self._ask(request, timeout_s)
            if response.status < 300:
                self._learn(response)
                return response
        error = error_of(response)
        if self.fence is not None and isinstance(error, LeaseLost):
            self.fence.refuse(request.fence)
        if isinstance(error, UnsupportedMediaType) and request.content_type == MSGPACK:
            return await self._send_as_json(request, timeout_s)
        raise error

    def _fence_header(self, method: str) -> str:
        if self.fence is None or method == "GET" or not self._private_features:
            return ""
        return self.fence.header

    def _lost(self, error: TransportError) -> None:
        if not self.unreachable:
            self.unreachable = True
            _log.warning("server_unreachable", error=str(error))

    def _found(self) -> None:
        if self.unreachable:
            self.unreachable = False
            _log.info("server_reachable")

    async def _send_as_json(self, request: BatchedRequest, timeout_s: float) -> TransportResponse:
        """The server that took msgpack was replaced by one that does not (415: nothing done)."""
        self.renounce_private_features()
        data = msgspec.json.encode(msgspec.msgpack.decode(request.body))
        return await self.send(
            request.method,
            request.path,
            query=request.query,
            body=data,
            content_type=JSON,
            timeout_s=timeout_s,
        )

    def _learn(self, response: TransportResponse) -> None:
        if is_msgpack(response):
            self._server_speaks_msgpack = True

    def encode(self, tree: JsonObject) -> tuple[bytes, str]:
        """A request body and its content type, msgpack if the server knows it."""
        if self.private:
            return msgspec.msgpack.encode(tree), MSGPACK
        return msgspec.json.encode(tree), JSON


def is_msgpack(response: TransportResponse) -> bool:
    """Whether a body is msgpack (otherwise it is JSON)."""
    return response.content_type.startswith(MSGPACK)
