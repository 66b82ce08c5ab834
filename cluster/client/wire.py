"""Decoding of lists and watch events straight from bytes into structs. Pure.

One decode per answer is the rule. Only when an answer holds an object that does not fit its struct
is it decoded again piece by piece, so that one bad object does not hide all the others.
"""

import builtins
from functools import cache
from typing import Any, Generic, TypeVar, cast

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ListMeta, PartialObject

T = TypeVar("T")

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"


class Page(msgspec.Struct, Generic[T]):
    """One page of a list."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[T] | None = None


class Added(msgspec.Struct, Generic[T], tag_field="type", tag=ADDED):
    """An object is there."""

    object: T


class Modified(msgspec.Struct, Generic[T], tag_field="type", tag=MODIFIED):
    """An object changed; also what is told of one that the reader did not know."""

    object: T


class Deleted(msgspec.Struct, tag_field="type", tag=DELETED):
    """An object is gone. Readers have its last state themselves: only its name is decoded."""

    object: PartialObject


class PollAnswer(msgspec.Struct, Generic[T], rename="camel"):
    """The answer to a long-poll (ARCHITECTURE.md, "The private long-poll")."""

    resource_version: str
    events: list[Added[T] | Modified[T] | Deleted] = msgspec.field(default_factory=list)


class Undecodable(msgspec.Struct, frozen=True):
    """An object that does not fit its struct: skipped, and worth one log line."""

    name: str
    error: str


def decoder_for(into: Any, *, msgpack: bool) -> Any:
    """The decoder for a type and a format; made once, for making one is expensive."""
    return _decoder(into, msgpack)


@cache
def _decoder(into: Any, msgpack: bool) -> Any:
    return msgspec.msgpack.Decoder(into) if msgpack else msgspec.json.Decoder(into)


def decode_page(body: bytes, into: type[T], *, msgpack: bool) -> tuple[Page[T], list[Undecodable]]:
    """A page and what had to be left out; msgspec.DecodeError if it is no list at all."""
    try:
        return decoder_for(Page[into], msgpack=msgpack).decode(body), []  # type: ignore[valid-type]
    except msgspec.ValidationError:
        raw: Page[msgspec.Raw] = decoder_for(Page[msgspec.Raw], msgpack=msgpack).decode(body)
    skipped: list[Undecodable] = []
    decoder = decoder_for(into, msgpack=msgpack)
    items = [_decoded(one, decoder, skipped, msgpack=msgpack) for one in raw.items or []]
    return Page(raw.metadata, [item for item in items if item is not None]), skipped


def decode_poll(
    body: bytes, into: type[T], *, msgpack: bool
) -> tuple[PollAnswer[T], list[Undecodable]]:
    """A long-poll's answer and what had to be left out; msgspec.DecodeError if it is none."""
    try:
        answer = decoder_for(PollAnswer[into], msgpack=msgpack).decode(body)  # type: ignore[valid-type]
        return cast("PollAnswer[T]", answer), []
    except msgspec.ValidationError:
        raw: PollAnswer[msgspec.Raw] = decoder_for(PollAnswer[msgspec.Raw], msgpack=msgpack).decode(
            body
        )
    skipped: list[Undecodable] = []
    decoder = decoder_for(into, msgpack=msgpack)
    events: list[Added[T] | Modified[T] | Deleted] = []
    for event in raw.events:
        if isinstance(event, Deleted):
            events.append(event)
            continue
        obj = _decoded(event.object, decoder, skipped, msgpack=msgpack)
        if obj is not None:
            events.append(Added(obj) if isinstance(event, Added) else Modified(obj))
    return PollAnswer(raw.resource_version, events), skipped


def _decoded(raw: msgspec.Raw, decoder: Any, skipped: list[Undecodable], *, msgpack: bool) -> Any:
    """One object; None if it does not fit, which is noted."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        skipped.append(Undecodable(_name(raw, msgpack=msgpack), str(error)))
        return None


def _name(raw: msgspec.Raw, *, msgpack: bool) -> str:
    try:
        obj: PartialObject = decoder_for(PartialObject, msgpack=msgpack).decode(raw)
    except msgspec.ValidationError:
        return ""
    return f"{obj.metadata.namespace}/{obj.metadata.name}".lstrip("/")


class StreamEvent(msgspec.Struct):
    """One line of a watch stream, its object not decoded yet."""

    type: str
    object: msgspec.Raw

    def decode(self, into: "builtins.type[T]") -> T | Undecodable:
        """The object, or why it does not fit."""
        try:
            return cast("T", decoder_for(into, msgpack=False).decode(self.object))
        except msgspec.ValidationError as error:
            return Undecodable(_name(self.object, msgpack=False), str(error))

    def tree(self) -> JsonObject:
        """The object as a tree (for ERROR events: a Status)."""
        tree: JsonObject = decoder_for(dict, msgpack=False).decode(self.object)
        return tree


class LineSplitter:
    """Cuts a byte stream into the watch events in it, one JSON object per line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events completed by this chunk; msgspec.DecodeError for a line that is none."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        decoder = decoder_for(StreamEvent, msgpack=False)
        return [decoder.decode(line) for line in lines if line.strip()]
