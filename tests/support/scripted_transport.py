"""A transport whose answers a test writes: for the shells of controllers, without a server."""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.transport import TransportResponse, answer_of
from kubeherd.simulation.transport import Request, StubTransport

Answer = JsonObject | Exception
Script = Callable[[str, str, JsonObject], Answer]


@dataclass
class ScriptedTransport(StubTransport):
    """Asks `script(method, path, body)` for every answer; an ApiError becomes its Status."""

    script: Script
    requests: list[tuple[str, str, JsonObject]] = field(default_factory=list)

    async def answer(self, request: Request) -> TransportResponse:
        tree = request.tree
        self.requests.append((request.method, request.path, tree))
        answer = self.script(request.method, request.path, tree)
        if isinstance(answer, ApiError):
            return answer_of(answer)
        if isinstance(answer, Exception):
            raise answer
        return TransportResponse(200, orjson.dumps(answer))

    def methods(self, prefix: str = "") -> list[str]:
        """The methods of the requests so far whose path starts with `prefix`."""
        return [method for method, path, _ in self.requests if path.startswith(prefix)]
