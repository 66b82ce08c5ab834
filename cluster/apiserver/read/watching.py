"""Watch: the standard stream and the private long-poll, both fed by the store's hub.

Source: spec api-machinery, section 3; ARCHITECTURE.md, "The private long-poll". Invariants: a
watcher sees every matching event after its start exactly once and in order, or its stream ends; the
bytes of an event are made once per form, however many watchers get it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

import msgpack

from kubeherd.cluster.api import errors, kinds, nodeset
from kubeherd.cluster.api.errors import Cause, Expired
from kubeherd.cluster.api.fields import FieldSelector
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.nodeset import NodeSet
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, WatchResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media, Shape, clauses
from kubeherd.cluster.apiserver.edge.responses import finished, partial
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import listing
from kubeherd.cluster.apiserver.read.listing import ListOptions
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.hub import Delivery, Predicate, Subscription, WatchFilter
from kubeherd.cluster.store.state import EventType, Record

POLL_LIMIT = 500
_POLL_DEFAULT_S = 30
_POLL_MAX_S = 3600
_BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 2.0
_MIN_DURATION_S = 1800
_CHUNK_EVENTS = 500
_FALSE = ("0", "false", "f")
_INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


async def watch(call: Call) -> ApiResponse | WatchResponse:
    """Answer a GET with ``watch``: a stream, or one long-poll where the client asks for it."""
    opts = listing.options(call.kind, call.request.query)
    wanted = _filter(call, opts)
    if call.request.query.get("poll") == "1":
        return await _poll(call, opts, wanted)
    plan = _plan(opts, call.request.query)
    if call.negotiated.media is Media.YAML:
        raise errors.NotAcceptable(
            "only the following media types are accepted: application/json, "
            "application/json;stream=watch"
        )
    content_type = call.negotiated.media.value
    accept = call.request.headers.get("accept", "")
    if any(clause.parameter("stream") == "watch" for clause in clauses(accept)):
        content_type += ";stream=watch"
    return WatchResponse(_stream(call, opts, wanted, plan), content_type)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a stream begins and how long it lasts."""

    initial_events: bool
    end_bookmark: bool
    bookmarks: bool


def _plan(opts: ListOptions, query: Mapping[str, str]) -> _Plan:
    causes: list[Cause] = []
    initial = query.get("sendInitialEvents")
    if initial is not None:
        if opts.match != "NotOlderThan":
            causes.append(
                Cause(
                    "FieldValueForbidden",
                    "Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
                    "NotOlderThan",
                    "resourceVersionMatch",
                )
            )
    elif opts.match:
        causes.append(
            Cause(
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents "
                "is provided",
                "resourceVersionMatch",
            )
        )
    if opts.match and opts.match != "NotOlderThan":
        causes.append(listing.unsupported_match(opts.match, '"NotOlderThan"'))
    if opts.match and opts.token is not None:
        causes.append(
            Cause(
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden when continue is provided",
                "resourceVersionMatch",
            )
        )
    if causes:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)
    bookmarks = query.get("allowWatchBookmarks", "false").lower() not in _FALSE
    if initial is None:
        return _Plan(opts.revision == 0, False, bookmarks)
    wants = initial.lower() not in _FALSE
    return _Plan(wants, wants and bookmarks, bookmarks)


def _filter(call: Call, opts: ListOptions) -> WatchFilter:
    """The hub's filter: node and namespace by index, the rest by a predicate."""
    name = call.route.name
    selected = opts.field_selector.exact("metadata.name")
    if name and selected is not None and selected != name:
        raise errors.BadRequest("fieldSelector metadata.name doesn't match requested name")
    node = opts.field_selector.exact("spec.nodeName") or ""
    fields = FieldSelector(
        tuple(
            r
            for r in opts.field_selector.requirements
            if not (node and r.field == "spec.nodeName" and not r.negated and r.value == node)
        )
    )
    matches = _predicate(opts.label_selector, fields, name)
    nodes = call.request.query.get("nodes", "")
    if nodes:
        matches = _on_nodes(nodeset.parse(nodes), call.kind.resource, matches)
    return WatchFilter(call.kind.key, call.route.namespace, node, matches, name or selected or "")


def _on_nodes(nodes: NodeSet, resource: Resource, others: Predicate | None) -> Predicate:
    """Private, for fleets: only these Nodes, or the pods bound to them."""
    if resource is kinds.NODES:
        return lambda record: record.name in nodes and (others is None or others(record))
    return lambda record: record.node_name in nodes and (others is None or others(record))


def _predicate(
    label_selector: Selector, field_selector: FieldSelector, name: str
) -> Callable[[Record], bool] | None:
    if label_selector.empty and field_selector.empty and not name:
        return None

    def matches(record: Record) -> bool:
        if name and record.name != name:
            return False
        if not field_selector.empty and not field_selector.matches(record.attrs.fields):
            return False
        return label_selector.empty or label_selector.matches(record.attrs.labels)

    return matches


# --- the stream ---


async def _stream(
    call: Call, opts: ListOptions, wanted: WatchFilter, plan: _Plan
) -> AsyncGenerator[bytes, None]:
    store, clock = call.services.store, call.services.clock
    encoder = _Encoder(call)
    duration_s = float(opts.timeout_s)
    if not duration_s:
        duration_s = _MIN_DURATION_S * (1 + call.services.rng.random())
    end_s = clock.monotonic_s() + duration_s
    since = store.revision if plan.initial_events or opts.revision == 0 else opts.revision
    try:
        subscription = store.hub.subscribe(wanted, since)
    except Expired as error:
        yield encoder.error(error)
        return
    try:
        if plan.initial_events:
            records = [
                r for r in store.list(wanted.resource_key, wanted.namespace) if wanted.wants(r)
            ]
            for start in range(0, len(records), _CHUNK_EVENTS):
                yield b"".join(map(encoder.added, records[start : start + _CHUNK_EVENTS]))
            if plan.end_bookmark:
                yield encoder.bookmark(since, _INITIAL_END)
        async for chunk in _changes(subscription, encoder, clock, end_s, plan, call):
            yield chunk
    finally:
        store.hub.unsubscribe(subscription)


async def _changes(
    subscription: Subscription,
    encoder: "_Encoder",
    clock: Clock,
    end_s: float,
    plan: _Plan,
    call: Call,
) -> AsyncGenerator[bytes, None]:
    """Events until the time is over, the client is too slow, or the server stops."""
    bookmark_s = min(clock.monotonic_s() + _BOOKMARK_EVERY_S, end_s - _BOOKMARK_BEFORE_END_S)
    while True:
        now_s = clock.monotonic_s()
        if now_s >= end_s:
            return
        until_s = min(end_s, bookmark_s) if plan.bookmarks and bookmark_s > now_s else end_s
        try:
            deliveries = await clock.wait_for(subscription.next(), until_s - now_s)
        except TimeoutError:
            if plan.bookmarks and until_s < end_s:
                yield encoder.bookmark(call.services.store.revision, {})
                last_s = end_s - _BOOKMARK_BEFORE_END_S
                following_s = clock.monotonic_s() + _BOOKMARK_EVERY_S
                bookmark_s = following_s if bookmark_s >= last_s else min(following_s, last_s)
            continue
        except Expired:
            return
        if not deliveries:
            return
        for start in range(0, len(deliveries), _CHUNK_EVENTS):
            yield b"".join(map(encoder.event, deliveries[start : start + _CHUNK_EVENTS]))


class _Encoder:
    """Events in the form that one stream negotiated."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kind = call.kind
        self._media = call.negotiated.media
        self._shape = call.negotiated.shape
        self._columns = True
        plain = self._shape is Shape.OBJECT and self._kind.to_served is None
        self._plain_json = plain and self._media is Media.JSON
        resource = self._kind.resource
        self._form = f"{self._media.value} {self._shape.value} {resource.api_version}"

    def event(self, delivery: Delivery) -> bytes:
        """One delivered event."""
        if self._shape is Shape.TABLE:
            return self._make(delivery)
        event = delivery.event
        return event.encoded(delivery.type, self._form, lambda: self._make(delivery))

    def added(self, record: Record) -> bytes:
        """A synthetic ADDED of an object that exists."""
        if self._plain_json:
            return b'{"type":"ADDED","object":' + record.json + b"}\n"
        return self._tree("ADDED", record.load())

    def bookmark(self, revision: int, meta: JsonObject) -> bytes:
        """A BOOKMARK at `revision`."""
        resource = self._kind.resource
        return self._pack({
            "type": "BOOKMARK",
            "object": {
                "kind": resource.kind,
                "apiVersion": resource.api_version,
                "metadata": {"resourceVersion": str(revision), **meta},
            },
        })  # fmt: skip

    def error(self, error: errors.ApiError) -> bytes:
        """An ERROR event with the Status."""
        return self._pack({"type": "ERROR", "object": error.status()})

    def _make(self, delivery: Delivery) -> bytes:
        if self._plain_json and not delivery.left:
            type_ = delivery.type.value.encode()
            return b'{"type":"' + type_ + b'","object":' + delivery.event.record.json + b"}\n"
        return self._tree(delivery.type.value, shown_tree(delivery))

    def _tree(self, type_: str, stored: JsonObject) -> bytes:
        tree = self._kind.served(stored)
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
        return codecs.dumps_json(tree) + b"\n"


def shown_tree(delivery: Delivery) -> JsonObject:
    """The stored tree that an event shows: the last matching state for one that left."""
    event = delivery.event
    if not delivery.left or event.previous is None:
        return event.record.load()
    tree = event.previous.load()
    tree["metadata"]["resourceVersion"] = str(event.revision)
    return tree


# --- the long-poll ---


async def _poll(call: Call, opts: ListOptions, wanted: WatchFilter) -> ApiResponse:
    if not opts.revision_given:
        raise errors.BadRequest("resourceVersion is required for poll")
    store, query = call.services.store, call.request.query
    timeout_s = float(_POLL_DEFAULT_S)
    if "timeoutSeconds" in query:
        timeout_s = min(opts.timeout_s, _POLL_MAX_S)
    if opts.revision > store.revision:
        # Known from a store that is gone (memory, a restored copy): the client must list again.
        raise Expired(f"too new resource version: {opts.revision} ({store.revision})")
    deliveries = store.hub.events_since(wanted, opts.revision, POLL_LIMIT)
    if not deliveries and timeout_s > 0:
        # Real seconds: a shortened wait would only make idle clients ask more often.
        woken_at = await store.hub.wait(wanted, timeout_s)
        if woken_at:
            deliveries = store.hub.events_since(wanted, woken_at - 1, POLL_LIMIT)
    revision = store.revision
    if len(deliveries) >= POLL_LIMIT:
        revision = deliveries[-1].event.revision
    if call.negotiated.media is Media.MSGPACK:
        body = _poll_msgpack(call, deliveries, revision)
    else:
        body = _poll_json(call, deliveries, revision)
    media = Media.MSGPACK if call.negotiated.media is Media.MSGPACK else Media.JSON
    return finished(call.request, body, media)


_PACKED = {
    type_: b"\x82" + msgpack.packb("type") + msgpack.packb(type_.value) + msgpack.packb("object")
    for type_ in EventType
}
_PACKED_HEAD = b"\x82" + msgpack.packb("resourceVersion")
_PACKED_EVENTS = msgpack.packb("events")


def _poll_msgpack(call: Call, deliveries: list[Delivery], revision: int) -> bytes:
    packer = msgpack.Packer()
    parts = [
        _PACKED_HEAD,
        packer.pack(str(revision)),
        _PACKED_EVENTS,
        packer.pack_array_header(len(deliveries)),
    ]
    for delivery in deliveries:
        parts.append(_PACKED[delivery.type])
        if delivery.left or call.kind.to_served is not None:
            parts.append(packer.pack(call.kind.served(shown_tree(delivery))))
        else:
            parts.append(delivery.event.object_msgpack)
    return b"".join(parts)


def _poll_json(call: Call, deliveries: list[Delivery], revision: int) -> bytes:
    parts = []
    for delivery in deliveries:
        if delivery.left or call.kind.to_served is not None:
            encoded = codecs.dumps_json(call.kind.served(shown_tree(delivery)))
        else:
            encoded = delivery.event.record.json
        parts.append(b'{"type":"' + delivery.type.value.encode() + b'","object":' + encoded + b"}")
    head = f'{{"resourceVersion":"{revision}","events":['.encode()
    return head + b",".join(parts) + b"]}\n"
