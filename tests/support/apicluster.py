"""An API server over a memory store, driven in process; requests and answers as JSON trees."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Response,
    User,
    WatchResponse,
)
from kubeherd.cluster.apiserver.handlers.begun import settled
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    Store,
    running,
)

ADMIN = authenticated("kubernetes-admin", ["system:masters"])
NODE = authenticated("system:node:n1", ["system:nodes"])
BOB = authenticated("bob")
MANAGER = authenticated("system:kube-controller-manager", ["kubeherd:controller-managers"])
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    content_type: str
    raw: bytes

    @property
    def tree(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def message(self) -> str:
        return str(self.tree.get("message", ""))


@dataclass
class Cluster:
    """Short-hand for requests to one server."""

    api: ApiServer
    store: Store
    clock: LoopClock
    user: User = field(default=ADMIN)

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        user: User | None = None,
        lines: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> Response:
        sent = {"user-agent": "tester/1", "content-type": "application/json"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        impersonate = [
            *((name, value) for name, value in sent.items() if name.startswith("impersonate-")),
            *lines,
        ]
        payload = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            payload = json.dumps(body).encode()
        path, _, text = path.partition("?")
        asked = dict(part.partition("=")[::2] for part in text.split("&") if part)
        query = {**asked, **(query or {})}
        user = user or self.user
        raw_query = text or urlencode(query)
        request = ApiRequest(method, path, query, sent, payload, user, impersonate, raw_query)
        return await self.api.handle(request)

    async def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Answer:
        response = await self.raw(method, path, body, **kwargs)
        assert isinstance(response, ApiResponse)
        return Answer(response.status, response.headers, response.content_type, response.body)

    async def get(self, path: str, **kwargs: Any) -> Answer:
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, body: Any, **kwargs: Any) -> Answer:
        return await self.call("POST", path, body, **kwargs)

    async def put(self, path: str, body: Any, **kwargs: Any) -> Answer:
        return await self.call("PUT", path, body, **kwargs)

    async def delete(self, path: str, body: Any = None, **kwargs: Any) -> Answer:
        return await self.call("DELETE", path, body, **kwargs)

    async def patch(
        self, path: str, body: Any, content_type: str = STRATEGIC, **kwargs: Any
    ) -> Answer:
        return await self.call("PATCH", path, body, content_type=content_type, **kwargs)

    async def watch(self, path: str, **kwargs: Any) -> "Watcher":
        response = await self.raw("GET", path, **kwargs)
        assert isinstance(response, WatchResponse), response
        return Watcher(response)


async def answered(cluster: Cluster, request: ApiRequest, *, begins: bool) -> ApiResponse:
    """The answer to a write: `begins`, in single steps if it can be, else in one piece."""
    begun = cluster.api.begin(request) if begins else None
    if begun is None:
        answer = await cluster.api.handle(request)
        assert isinstance(answer, ApiResponse)
        return answer
    await settled(cluster.store, [begun])
    return begun.answer()


def kept(cluster: Cluster, *resource_keys: str) -> list[tuple[int, bytes, Any, Any]]:
    """What is stored of these resources, and what selectors read of it."""
    records = [one for key in resource_keys for one in cluster.store.list(key)]
    return [
        (one.revision, one.json, dict(one.attrs.labels), dict(one.attrs.fields)) for one in records
    ]


async def request_counts(cluster: Cluster) -> list[str]:
    """How many requests there were, by what they were and what was answered."""
    answer = await cluster.api.handle(ApiRequest("GET", "/metrics", user=ADMIN))
    assert isinstance(answer, ApiResponse)
    counts = ("apiserver_request_total", "apiserver_current_inflight_requests")
    return [line for line in answer.body.decode().splitlines() if line.startswith(counts)]


def without(cluster: Cluster, way: str) -> None:
    """Let a cluster not take one of its short ways (`write.short.writes`)."""
    short = cluster.api.services.registry.short
    assert callable(getattr(short, way)), way
    setattr(short, way, lambda *_: None)


class Taken:
    """Counts how often a cluster takes one of its short ways (`write.short.writes`)."""

    def __init__(self, cluster: Cluster, way: str) -> None:
        self.times = 0
        short = cluster.api.services.registry.short
        self._stage = getattr(short, way)
        setattr(short, way, self._counted)

    def _counted(self, *args: Any) -> Any:
        pending = self._stage(*args)
        self.times += pending is not None
        return pending


class Watcher:
    """Reads a watch stream event by event."""

    def __init__(self, response: WatchResponse) -> None:
        self.content_type = response.content_type
        self._chunks = response.chunks
        self._events: list[Any] = []
        self._begun = b""

    async def next(self) -> Any:
        while not self._events:
            self._feed(await anext(self._chunks))
        return self._events.pop(0)

    def _feed(self, chunk: bytes) -> None:
        *lines, self._begun = (self._begun + chunk).split(b"\n")
        self._events += map(orjson.loads, lines)

    async def rest(self) -> list[Any]:
        """Everything until the stream ends."""
        async for chunk in self._chunks:
            self._feed(chunk)
        assert not self._begun
        found, self._events = self._events, []
        return found

    async def close(self) -> None:
        await self._chunks.aclose()


class StillClock(LoopClock):
    """Stands still until it is told the time."""

    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@asynccontextmanager
async def api_cluster(
    *,
    speed: float = 1.0,
    clock: LoopClock | None = None,
    max_history_events: int = MAX_HISTORY_EVENTS,
    max_history_bytes: int = MAX_HISTORY_BYTES,
) -> AsyncIterator[Cluster]:
    """A bootstrapped server; gone when the block is left."""
    turns = Turns()
    store = LocalStore(
        MemoryEngine(),
        attrs_of,
        turns=turns,
        max_history_events=max_history_events,
        max_history_bytes=max_history_bytes,
    )
    async with running(store):
        clock = clock or LoopClock(speed)
        api = ApiServer(store, clock, Rng(1), turns=turns)
        await api.bootstrap()
        yield Cluster(api, store, clock)


def config_map(name: str = "x", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
    }


def daemon_set(name: str = "d", image: str = "nginx:1") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    }
