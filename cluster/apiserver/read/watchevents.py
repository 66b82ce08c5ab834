"""Watch events as bytes, in the form that one stream negotiated.

Invariants: an event is encoded once per form, however many watchers get it; what is joined for one
watcher is bounded in bytes, and made when it can be sent.
"""

from collections.abc import Iterable, Iterator, Sequence

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge import protobufs
from kubeherd.cluster.apiserver.edge.negotiation import Media, Shape
from kubeherd.cluster.apiserver.edge.responses import partial
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import emptyobjects
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.watch.deliveries import Delivery

_CHUNK_BYTES = 64 * 1024
"""Events are joined until they are this long."""


def chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Events or parts of them, joined until they are `_CHUNK_BYTES` long, made when asked for. A
    longer one is not copied: all watchers are sent the same bytes."""
    short: list[bytes] = []
    size = 0
    for part in parts:
        if len(part) < _CHUNK_BYTES:
            short.append(part)
            size += len(part)
            if size < _CHUNK_BYTES:
                continue
        if short:
            yield b"".join(short)
            short.clear()
            size = 0
        if len(part) >= _CHUNK_BYTES:
            yield part
    if short:
        yield b"".join(short)


class Encoder:
    """Events in the form that one stream negotiated."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kind = call.kind
        self._media = call.negotiated.media
        self._shape = call.negotiated.shape
        self._columns = True
        plain = self._shape is Shape.OBJECT and self._kind.to_served is None
        self._plain_json = plain and self._media is Media.JSON
        self._plain_protobuf = self._shape is Shape.OBJECT and self._media is Media.PROTOBUF
        resource = self._kind.resource
        self._form = f"{self._media.value} {self._shape.value} {resource.api_version}"

    def event(self, delivery: Delivery) -> bytes:
        """One delivered event."""
        if self._shape is Shape.TABLE:
            return self._make(delivery)
        event = delivery.event
        return event.encoded(delivery.type, self._form, lambda: self._make(delivery))

    def added(self, record: Record) -> tuple[bytes, ...]:
        """A synthetic ADDED of an object that exists, in parts."""
        if self._plain_json:
            return b'{"type":"ADDED","object":', record.json, b"}\n"
        if self._plain_protobuf:
            return (protobufs.of_event("ADDED", self._kind, record.json),)
        return (self._tree("ADDED", record.load()),)

    def bookmark(self, revision: int, annotations: JsonObject) -> bytes:
        """A BOOKMARK at `revision`: an empty object but for that and the annotations."""
        tree = emptyobjects.of(self._kind.resource)
        meta = tree["metadata"]
        tree["metadata"] = {"resourceVersion": str(revision)}
        if annotations := {**meta.get("annotations", {}), **annotations}:
            tree["metadata"]["annotations"] = annotations
        return self._shown("BOOKMARK", tree)

    def error(self, error: errors.ApiError) -> bytes:
        """An ERROR event with the Status."""
        return self._pack({"type": "ERROR", "object": error.status()})

    def _make(self, delivery: Delivery) -> bytes:
        if self._plain_json and not delivery.left:
            type_ = delivery.type.value.encode()
            return b'{"type":"' + type_ + b'","object":' + delivery.event.record.json + b"}\n"
        if self._plain_protobuf and not delivery.left:
            return protobufs.of_event(delivery.type.value, self._kind, delivery.event.record.json)
        return self._tree(delivery.type.value, shown_tree(delivery))

    def _tree(self, type_: str, stored: JsonObject) -> bytes:
        return self._shown(type_, self._kind.served(stored))

    def _shown(self, type_: str, tree: JsonObject) -> bytes:
        if self._shape is Shape.TABLE:
            tree = self._table(tree)
        elif self._shape in (Shape.PARTIAL, Shape.PARTIAL_LIST):
            tree = partial(tree)
        return self._pack({"type": type_, "object": tree})

    def _table(self, tree: JsonObject) -> JsonObject:
        call = self._call
        table = tables.table(
            self._kind.resource,
            [tree],
            now=call.services.clock.now(),
            metadata=tables.list_metadata(tree["metadata"]),
            include_object=call.request.query.get("includeObject", ""),
            version=call.negotiated.table_version,
            with_columns=self._columns,
        )
        self._columns = False
        return table

    def _pack(self, tree: JsonObject) -> bytes:
        if self._media is Media.MSGPACK:
            return codecs.dumps_msgpack(tree)
        if self._media is Media.PROTOBUF:
            return protobufs.frame(tree["type"], codecs.dumps_protobuf(tree["object"]))
        return codecs.dumps_json(tree) + b"\n"


def shown_tree(delivery: Delivery) -> JsonObject:
    """The stored tree that an event shows: the last matching state for one that left."""
    event = delivery.event
    if not delivery.left or event.previous is None:
        return event.record.load()
    tree = event.previous.load()
    tree["metadata"]["resourceVersion"] = str(event.revision)
    return tree


async def prepare(call: Call, deliveries: Sequence[Delivery]) -> None:
    """Ask for what only a conversion webhook can make of the events' objects."""
    await call.kind.prepare(lambda: list(map(shown_tree, deliveries)), store=False)
