"""Requests without an event loop: one connection, one request at a time, nothing but Python's own.

For programs that are not asynchronous and must not pay for the libraries of those that are. The
same answers and errors as `transport`.
"""

import http.client
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

import msgspec

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    JSON,
    TransportError,
    TransportResponse,
    error_of,
    target,
)

_MERGE = "application/merge-patch+json"


class BlockingTransport:
    """One identity's connection, opened on first use and again after a failure."""

    def __init__(self, access: ClusterAccess, *, max_bytes: int | None = None) -> None:
        """`max_bytes`: of an answer, where who is asked may be a stranger."""
        self._access = access
        self._max_bytes = max_bytes
        self._context = tls_context(access)
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> "BlockingTransport":
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """Send a request and read the whole answer; TransportError without one.

        `timeout_s` bounds each wait for the network, in real seconds.
        """
        headers = {"User-Agent": PRODUCT, "Accept-Encoding": "identity"}
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        if content_type:
            headers["Content-Type"] = content_type
        connection = self._open(timeout_s)
        try:
            connection.request(method, target(path, query), body, headers)
            with connection.getresponse() as answer:
                data = answer.read(None if self._max_bytes is None else self._max_bytes + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            what = str(error) or type(error).__name__
            raise TransportError(f"{method} {path}: {what}") from error
        if self._max_bytes is not None and len(data) > self._max_bytes:
            self.close()
            raise TransportError(
                f"{method} {path}: the answer has more than {self._max_bytes} bytes"
            )
        got = {name.lower(): value for name, value in answer.getheaders()}
        return TransportResponse(answer.status, data, got.get("content-type", ""), got)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, timeout_s: float) -> http.client.HTTPSConnection:
        if self._connection is None:
            server = urlsplit(self._access.server)
            self._connection = http.client.HTTPSConnection(
                server.hostname or "", server.port, context=self._context
            )
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        return self._connection


class BlockingClient:
    """Requests as trees, by a transport that belongs to the caller; ApiError for a refusal."""

    def __init__(self, transport: BlockingTransport, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._transport = transport
        self._timeout_s = timeout_s

    def send(
        self,
        method: str,
        path: str,
        body: JsonObject | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """The answer's tree; the body of a PATCH is merged."""
        answer = self._transport.request(
            method,
            path,
            query=query,
            body=None if body is None else msgspec.json.encode(body),
            content_type=_MERGE if method == "PATCH" else JSON,
            timeout_s=self._timeout_s,
        )
        if answer.status >= 400:
            raise error_of(answer)
        tree: JsonObject = msgspec.json.decode(answer.body)
        return tree

    def find(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """An object, None if there is none."""
        try:
            return self.send("GET", resource.path(namespace, name))
        except NotFound:
            return None
