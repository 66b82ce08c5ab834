"""Versions of objects, and the events that lead from one to the next. Pure.

Invariants: an object is kept as its JSON only; a `Record` never changes once made. Records and
events are part of no reference cycle, so the garbage collector is told to leave them alone: to look
at hundreds of thousands of them took up to 40 ms, and freed none.
"""

from collections.abc import Callable, Mapping
from enum import Enum

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.store.likeness import WORTH_BYTES, Pieces, has, in_common, pieces


class Attrs(msgspec.Struct, frozen=True, gc=False):
    """What selectors read of an object: its labels and the values of its selectable fields."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)

    def after(self, before: "Attrs") -> "Attrs":
        """The same attributes, sharing with those of the version before what is equal."""
        labels = before.labels if before.labels == self.labels else self.labels
        if before.fields == self.fields:
            return before if labels is before.labels else Attrs(labels, before.fields)
        return Attrs(labels, self.fields)


AttrsOf = Callable[[str, bytes], Attrs]
"""Computes the attributes of a stored object: (resource key, its JSON) -> Attrs."""


NODE_INDEXED = "pods"
NODE_NAME_FIELD = "spec.nodeName"
"""The resource and the selectable field of it that have an index, because kubelets watch by it."""

NODES = "nodes"


def storage_key(namespace: str, name: str) -> str:
    """``namespace/name``, or ``name`` for a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


class Record(msgspec.Struct, eq=False, gc=False):
    """One version of one object: its key, its revision and its bytes.

    `attrs` are given, or computed when they are first asked for. What an old version has in common
    with the next one is in memory only once.
    """

    resource_key: str
    namespace: str
    name: str
    revision: int
    create_revision: int
    _json: bytes | Pieces
    _attrs: Attrs | AttrsOf
    _common: bytes = b""
    """The part of the JSON that is shared with the version before."""

    def __repr__(self) -> str:
        return f"Record({self.resource_key} {self.key} @{self.revision})"

    @property
    def json(self) -> bytes:
        """The object as JSON."""
        json = self._json
        return json if isinstance(json, bytes) else json.joined()

    @property
    def size(self) -> int:
        """The length of its JSON in bytes."""
        return len(self._json)

    def superseded_by(self, newer: "Record") -> None:
        """`newer` is the next version: from now on what both have in common is shared."""
        json = self._json
        if not isinstance(json, bytes) or len(json) < WORTH_BYTES:
            return
        after, common = newer.json, self._common
        if not common or not has(after, common):
            common = in_common(json, after)
        if common:
            newer._common = common
        self._divide(json, common or self._common)

    def settled(self) -> None:
        """There will be no next version: share what is in common with the one before."""
        if isinstance(self._json, bytes):
            self._divide(self._json, self._common)

    def _divide(self, json: bytes, common: bytes) -> None:
        if common:
            self._json = pieces(json, common)

    @property
    def place(self) -> tuple[str, str, str]:
        """(resource key, namespace, name): the same for all versions of an object."""
        return self.resource_key, self.namespace, self.name

    @property
    def key(self) -> str:
        """The storage key inside the collection; lists are ordered by it (spec section 2)."""
        return storage_key(self.namespace, self.name)

    @property
    def node_name(self) -> str:
        """The node that the object is bound to; "" for none, and for all kinds but pods."""
        if self.resource_key != NODE_INDEXED:
            return ""
        return self.attrs.fields.get(NODE_NAME_FIELD, "")

    @property
    def attrs(self) -> Attrs:
        """Labels and selectable fields, computed at most once."""
        attrs = self._attrs
        if not isinstance(attrs, Attrs):
            attrs = self._attrs = attrs(self.resource_key, self.json)
        return attrs

    @property
    def msgpack(self) -> bytes:
        """The object as msgpack. It is not kept, because that would double the memory of the store;
        events, which go to many watchers, keep their own encodings while they are new."""
        return msgspec.msgpack.encode(orjson.loads(self.json))

    def load(self) -> JsonObject:
        """A tree of its own for the caller, who may change it."""
        tree: JsonObject = orjson.loads(self.json)
        return tree


class EventType(Enum):
    """What happened to an object, as watchers see it (spec api-machinery, section 3)."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"

    __hash__ = object.__hash__  # there is one of each; an Enum's own is slow, and asked per watcher


ADDED, MODIFIED, DELETED = EventType  # to ask the Enum for one is slow, too


class WatchEvent(msgspec.Struct, eq=False, gc=False):
    """One effective write. `record` is the new state (for DELETED the last one, with the
    revision of the deletion); `previous` the state before, None for ADDED."""

    type: EventType
    record: Record
    previous: Record | None
    _bodies: Mapping[tuple[EventType, str], bytes] | None = None
    """Its encodings by type and form; None if they are not kept."""

    @property
    def revision(self) -> int:
        return self.record.revision

    def becomes_past(self) -> None:
        """The event is committed: the version before it is an old one from now on."""
        if self.previous is not None:
            self.previous.superseded_by(self.record)
        if self.type is DELETED:
            self.record.settled()

    def encoded(self, type_: EventType, media: str, make: Callable[[], bytes]) -> bytes:
        """The event in one form, which `make` encodes; while the event is new this is done once for
        all watchers."""
        if self._bodies is None:
            return make()
        body = self._bodies.get((type_, media))
        if body is None:
            body = make()
            self._bodies = {**self._bodies, (type_, media): body}
        return body

    @property
    def object_msgpack(self) -> bytes:
        """The event's object as msgpack."""
        return self.encoded(self.type, "object msgpack", lambda: self.record.msgpack)

    def keep_encodings(self) -> None:
        """The event is new: keep its encodings, for which many watchers will ask soon."""
        self._bodies = _NO_BODIES

    def forget_encodings(self) -> None:
        """The event is no longer new: keep no encodings."""
        self._bodies = None


_NO_BODIES: Mapping[tuple[EventType, str], bytes] = {}
"""Shared by all events that were not encoded yet."""
