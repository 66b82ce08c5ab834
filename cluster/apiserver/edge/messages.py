"""Requests and responses of the API server, free of any HTTP library.

`cluster.apiserver.server.ApiServer.handle` takes an `ApiRequest` and returns an `ApiResponse` or a
`WatchResponse`; the aiohttp shell and the in-process transport of the simulation are two small
adapters around that one function.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.joined import Body


class User(msgspec.Struct, frozen=True):
    """An authenticated identity (spec api-machinery, section 20)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Further facts by key; only impersonation gives any (``Impersonate-Extra-<key>``)."""

    def to_json(self) -> JsonObject:
        """The UserInfo of authentication.k8s.io/v1."""
        out: JsonObject = {"username": self.name}
        if self.uid:
            out["uid"] = self.uid
        if self.groups:
            out["groups"] = list(self.groups)
        if self.extra:
            out["extra"] = {key: list(values) for key, values in self.extra}
        return out


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Audited(msgspec.Struct):
    """What the audit log wants to know of a request that it logs, noted while that is handled."""

    annotations: dict[str, str]
    wants_objects: bool
    """Whether the log will show what was sent."""
    impersonated: User | None = None
    sent: JsonObject | None = None
    """The object in the request, decoded and defaulted; a copy."""
    panic: bool = False
    """The answer is that of a bug."""


LOOPBACK = "127.0.0.1"


class ApiRequest(msgspec.Struct):
    """One request. `path` is decoded; `query` keeps the first value of each parameter; header
    names are lower case or compared without case; `body` is already decompressed and within the
    size limit. `impersonate` has the header lines that ask to act as somebody else (name in lower
    case, value), as they were sent: a line may come several times, and the name of a group may
    contain any character, so `headers` cannot hold them."""

    method: str
    path: str
    query: Mapping[str, str] = msgspec.field(default_factory=dict)
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    user: User = ANONYMOUS
    impersonate: Sequence[tuple[str, str]] = ()
    raw_query: str = ""
    """The query as it was sent, for parameters that may come several times."""
    audited: Audited | None = None
    """None: nobody logs this request."""
    part: bool = False
    """It came inside a private batch or group poll: no connection is its own."""
    peer: str = LOOPBACK
    """The address of the client."""
    certificate: str = ""
    """The SHA-256 of the client's certificate, in hexadecimal; only while there are faults."""


class ApiResponse(msgspec.Struct):
    """A complete answer. The `content` of a long list is joined when it is sent."""

    status: int
    content: Body
    content_type: str = "application/json"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The content as bytes, all at once."""
        return bytes(self.content)


class Outlet(msgspec.Struct, eq=False):
    """A short way to the client of a stream, besides its chunks."""

    write: Callable[[bytes], bool] | None = None
    """Given by the adapter, if there is such a way: sends bytes at once, False if that cannot be.
    It is for the times when the adapter waits for the next chunk."""


class WatchResponse(msgspec.Struct):
    """A stream: `chunks` yields encoded watch events (or log text) until the stream ends. The
    adapter must call `chunks.aclose()` when the client goes away."""

    chunks: AsyncGenerator[bytes, None]
    content_type: str = "application/json"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    outlet: Outlet | None = None
    """None: the stream has no use for it."""


class Upgrade(StrEnum):
    """What a connection becomes, as its headers call it."""

    WEBSOCKET = "websocket"
    SPDY = "SPDY/3.1"


class Socket(Protocol):
    """An open WebSocket, or the bytes of a connection: then a message is whatever came at once."""

    async def send(self, data: bytes | str) -> None:
        """Send one message; ConnectionError when the client has gone."""

    async def receive(self) -> bytes | str | None:
        """The next message; None when there will be none."""

    async def close(self, last: bytes | str | None = None) -> None:
        """Say goodbye, in one piece with a last message if there is one; returns when the client
        has, or soon. ConnectionError when it has gone."""


class UpgradeResponse(msgspec.Struct):
    """The connection becomes a WebSocket with this subprotocol ("" for none), or SPDY with this
    stream protocol, and `serve` takes it over: it returns when the connection is closed."""

    serve: Callable[[Socket], Awaitable[None]]
    protocol: str
    upgrade: Upgrade = Upgrade.WEBSOCKET


class Dropped(msgspec.Struct, frozen=True):
    """No answer: the connection breaks. Only a fault answers so."""


Response: TypeAlias = ApiResponse | WatchResponse | UpgradeResponse | Dropped

Answer: TypeAlias = Callable[[ApiRequest], Coroutine[Any, Any, Response]]
"""Answers one request. Raises nothing but for cancellation."""


class Layer(Protocol):
    """Something that requests pass on their way in and out."""

    async def handle(self, request: ApiRequest, answer: Answer) -> Response:
        """What `answer` makes of a request, or something else; as `Answer`."""
