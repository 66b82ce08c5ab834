"""The base of transports without a network: one method to write instead of the protocol."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.transport import DEFAULT_TIMEOUT_S, MSGPACK, TransportResponse


class Request(msgspec.Struct, frozen=True):
    """What a client asked; `timeout_s` are real seconds."""

    method: str
    path: str
    query: dict[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    fence: str = ""

    @property
    def tree(self) -> JsonObject:
        """The decoded body, empty without one."""
        if not self.body:
            return {}
        codec = msgspec.msgpack if self.content_type.startswith(MSGPACK) else msgspec.json
        tree: JsonObject = codec.decode(self.body)
        return tree


class StubTransport(ABC):
    """`cluster.client.transport.Transport` for code that answers by itself."""

    @abstractmethod
    async def answer(self, request: Request) -> TransportResponse:
        """The answer to a request; TransportError for none."""

    async def answer_stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The chunks of a stream."""
        raise NotImplementedError("this one does not stream")
        yield b""

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
        sent = Request(
            method, path, dict(query or {}), body or b"", content_type, accept, timeout_s, fence
        )
        return await self.answer(sent)

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        sent = Request("GET", path, dict(query or {}), accept=accept, timeout_s=timeout_s)
        return self.answer_stream(sent)

    async def close(self) -> None:
        """Nothing is open."""
        return
