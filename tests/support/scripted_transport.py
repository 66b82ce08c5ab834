"""A transport whose answers a test writes: for the shells of controllers, without a server."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import orjson

from cluster.api.errors import ApiError
from cluster.api.jsontypes import JsonObject
from cluster.client.transport import DEFAULT_TIMEOUT_S, TransportResponse

Answer = JsonObject | Exception
Script = Callable[[str, str, JsonObject], Answer]


@dataclass
class ScriptedTransport:
    """Asks `script(method, path, body)` for every answer; an ApiError becomes its Status."""

    script: Script
    requests: list[tuple[str, str, JsonObject]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        tree = orjson.loads(body) if body else {}
        self.requests.append((method, path, tree))
        answer = self.script(method, path, tree)
        if isinstance(answer, ApiError):
            return TransportResponse(answer.status_code, orjson.dumps(answer.status()))
        if isinstance(answer, Exception):
            raise answer
        return TransportResponse(200, orjson.dumps(answer))

    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float | None = None,
    ) -> AsyncIterator[bytes]:
        raise NotImplementedError
        yield b""

    async def close(self) -> None:
        """Nothing to close."""

    def methods(self, prefix: str = "") -> list[str]:
        """The methods of the requests so far whose path starts with `prefix`."""
        return [method for method, path, _ in self.requests if path.startswith(prefix)]
