"""What stands before an answer: its headers, and the whole head where aiohttp does not write it.

Invariant: a head that is written here is, byte for byte, the one that aiohttp would write.
"""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp.helpers import rfc822_formatted_time

from kubeherd.cluster.api.version import PRODUCT
from kubeherd.cluster.apiserver.edge.connection import Connection
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.runtime.rng import Rng

MOVE_CHANCE = 0.001
"""Of several servers each ends a connection after one of so many answers, and its client makes
another: so they spread again after a restart (what kube-apiserver's --goaway-chance is for)."""
_OK = HTTPStatus.OK.value
_CACHE_CONTROL = "no-cache, private"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = (204, 304)


class Heads:
    """Makes them for one server."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._audit_prefix = rng.uuid4()[:24]
        self._audit_count = 0

    def ends(self, connection: Connection) -> bool:
        """Whether this answer is the last on its connection: the client must be told, or it sends
        a request into the end of the connection, which it may not send again."""
        return connection.ending or (connection.shared and self._rng.random() < MOVE_CHANCE)

    def headers(self, content_type: str, extra: Mapping[str, str]) -> dict[str, str]:
        """The headers of an answer: those that each has, and `extra`."""
        headers = {
            "Audit-Id": self._audit_id(),
            "Cache-Control": _CACHE_CONTROL,
            "Content-Type": content_type,
            "Server": PRODUCT,
            **extra,
        }
        if not content_type:
            del headers["Content-Type"]
        return headers

    def plain(self, connection: Connection, answer: ApiResponse) -> tuple[bytes, bool]:
        """The head of a plain answer, and whether it is the last on its connection."""
        ends = self.ends(connection)
        if answer.status == _OK and answer.content_type and not answer.headers and not ends:
            return self._usual_head(answer), False
        headers = self.headers(answer.content_type, answer.headers)
        if ends:
            headers["Connection"] = "close"
        return _head(answer, headers), ends

    def _usual_head(self, answer: ApiResponse) -> bytes:
        """What `_head` makes of the headers that every answer has, in one go."""
        return (
            f"HTTP/1.1 200 OK\r\nAudit-Id: {self._audit_id()}\r\n"
            f"Cache-Control: {_CACHE_CONTROL}\r\nContent-Type: {answer.content_type}\r\n"
            f"Server: {PRODUCT}\r\nContent-Length: {len(answer.content)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n\r\n"
        ).encode()

    def _audit_id(self) -> str:
        self._audit_count += 1
        return f"{self._audit_prefix}{self._audit_count & 0xFFFFFFFFFFFF:012x}"


def _head(response: ApiResponse, headers: Mapping[str, str]) -> bytes:
    """The head of a plain answer, as aiohttp writes it; ValueError for a value that is none."""
    if any("\r" in value or "\n" in value for value in response.headers.values()):
        raise ValueError("a line ends within a header's value")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if response.status not in _WITHOUT_BODY:
        lines += f"Content-Length: {len(response.content)}\r\n"
    reason = _REASONS.get(response.status, "")
    head = f"HTTP/1.1 {response.status} {reason}\r\n{lines}Date: {rfc822_formatted_time()}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape")
