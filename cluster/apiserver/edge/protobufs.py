"""Stored objects as protobuf: bodies, lists and watch events made from messages that are kept.

Invariants: the message of one version of an object is made once while it is remembered, however
many answers and watchers show it; what is remembered is bounded in bytes, and nothing is before a
client asks for protobuf.
"""

import threading
from collections.abc import Callable, Sequence

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.store.state import Record

KEPT_BYTES = 16 * 1024 * 1024
"""How much is remembered: messages, and the stored bytes that they were made from."""


class Remembered:
    """The values made last of (version, stored bytes), at most `limit_bytes` with their keys.

    Large lists are made beside the event loop, so two threads may ask.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: dict[tuple[str, bytes], bytes] = {}
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, version: str, stored: bytes, make: Callable[[], bytes]) -> bytes:
        """The value of a key: kept, or made now."""
        key = (version, stored)
        with self._lock:
            value = self._kept.pop(key, None)
            if value is not None:
                self._kept[key] = value  # what was asked for last is forgotten last
                return value
        value = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self.size_bytes += len(stored) + len(value)
            while self.size_bytes > self._limit_bytes:
                oldest = next(iter(self._kept))
                self.size_bytes -= len(oldest[1]) + len(self._kept.pop(oldest))
        return value


_messages = Remembered(KEPT_BYTES)


def of_object(kind: ServedKind, stored: bytes) -> bytes:
    """The body of an object, given its stored JSON; NotAcceptable if protobuf has none for it."""
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    resource = kind.resource
    return bodies.wrapped(resource.api_version, resource.kind, _message(kind, stored))


def of_list(kind: ServedKind, records: Sequence[Record], meta: JsonObject) -> bytes:
    """The body of a list, given the records in it and its metadata."""
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    items = [_message(kind, record.json) for record in records]
    return bodies.list_body(kind.resource.api_version, kind.list_kind, meta, items)


def of_event(event_type: str, kind: ServedKind, stored: bytes) -> bytes:
    """The frame of a watch event."""
    return frame(event_type, of_object(kind, stored))


def frame(event_type: str, body: bytes) -> bytes:
    """The frame of a watch event, given the body of its object."""
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    return bodies.frame(event_type, body)


def _message(kind: ServedKind, stored: bytes) -> bytes:
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    resource = kind.resource

    def make() -> bytes:
        tree = kind.served(orjson.loads(stored))
        return bodies.message(resource.api_version, resource.kind, tree)

    return _messages.get(resource.api_version, stored, make)
