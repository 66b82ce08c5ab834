"""Requests without an event loop: one connection, one request at a time, nothing but Python's own.

For programs that are not asynchronous and must not pay for the libraries of those that are. The
same answers and errors as `cluster.client.http`.
"""

import http.client
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.tls import tls_context
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    TransportError,
    TransportResponse,
    target,
)


class BlockingTransport:
    """One identity's connection, opened on first use and again after a failure."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
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
        if content_type:
            headers["Content-Type"] = content_type
        connection = self._open(timeout_s)
        try:
            connection.request(method, target(path, query), body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            what = str(error) or type(error).__name__
            raise TransportError(f"{method} {path}: {what}") from error
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
