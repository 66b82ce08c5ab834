"""Watch: the standard stream and the private long-poll, both fed by the store's hub.

Source: spec api-machinery, section 3; ARCHITECTURE.md, "The private long-poll". Invariants: a
watcher sees every matching event after its start exactly once and in order, or its stream ends; the
bytes of an event are made once per form, however many watchers get it; what is made for a watcher
before he has read it is bounded in bytes; what the options have wrong is refused before a stream
begins, and what fails later ends it with an ERROR event.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, closing

import msgpack
import msgspec
import structlog

from kubeherd.cluster.api import errors, kinds, nodeset
from kubeherd.cluster.api.errors import Cause, Expired
from kubeherd.cluster.api.fields import FieldSelector
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.nodeset import NodeSet
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, WatchResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media, Shape, clauses, not_acceptable
from kubeherd.cluster.apiserver.edge.responses import finished
from kubeherd.cluster.apiserver.handlers.reads import list_options, wait_for_revision
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import listing
from kubeherd.cluster.apiserver.read.listing import ListOptions
from kubeherd.cluster.apiserver.read.openwatches import OpenWatch
from kubeherd.cluster.apiserver.read.watchevents import Encoder, chunks, shown_tree
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.hub import Delivery, Predicate, Subscription, WatchFilter
from kubeherd.cluster.store.state import EventType, Record

POLL_LIMIT = 500
_POLL_DEFAULT_S = 30
_POLL_MAX_S = 3600
_BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 2.0
_MIN_DURATION_S = 1800
POLL_BYTES = 4 * 1024 * 1024
"""An answer to a long-poll ends with the event that reaches this."""

_NOT_OLDER = "NotOlderThan"
_INITIAL_END = {"k8s.io/initial-events-end": "true"}

_log = structlog.get_logger(__name__)


async def watch(call: Call) -> ApiResponse | WatchResponse:
    """Answer a GET with ``watch``: a stream, or one long-poll where the client asks for it."""
    opts = await list_options(call)
    wanted = _filter(call, opts)
    if call.request.query.get("poll") == "1":
        return await _poll(call, opts, wanted)
    plan = _plan(opts, call.request.query)
    if call.negotiated.media is Media.YAML:
        raise not_acceptable(stream=True)
    if call.negotiated.shape is Shape.TABLE:
        tables.check_include_object(call.request.query.get("includeObject", ""))
    content_type = call.negotiated.media.value
    accept = call.request.headers.get("accept", "")
    streams = (clause.parameter("stream") == "watch" for clause in clauses(accept))
    if call.negotiated.media is Media.PROTOBUF or any(streams):
        content_type += ";stream=watch"
    return WatchResponse(_stream(call, opts, wanted, plan), content_type)


class _Plan(msgspec.Struct, frozen=True):
    """How a stream begins and how long it lasts."""

    initial_events: bool
    end_bookmark: bool
    bookmarks: bool


def _plan(opts: ListOptions, query: Mapping[str, str]) -> _Plan:
    """Source: apimachinery/pkg/apis/meta/internalversion, defaults.go and validation (v1.36): a
    watch from nowhere or from 0 is one that wants to be sent what there is."""
    initial, match = query.get("sendInitialEvents"), opts.match
    wants = initial is not None and parameters.boolean(query, "sendInitialEvents")
    if initial is None and not match and opts.revision == 0:
        initial, match, wants = "true", _NOT_OLDER, True
    causes: list[Cause] = []
    if initial is not None and match != _NOT_OLDER:
        causes.append(
            listing.forbidden_match(
                f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER}"
            )
        )
    if match and initial is None:
        causes.append(
            listing.forbidden_match(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
        )
    if match and match != _NOT_OLDER:
        causes.append(listing.unsupported_match(match, f'"{_NOT_OLDER}"'))
    if match and query.get("continue"):
        causes.append(listing.CONTINUED)
    if causes:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)
    bookmarks = parameters.boolean(query, "allowWatchBookmarks")
    return _Plan(wants, wants and bookmarks, bookmarks)


def _filter(call: Call, opts: ListOptions) -> WatchFilter:
    """The hub's filter: node and namespace by index, the rest by a predicate."""
    name = call.route.name
    selected = opts.field_selector.exact("metadata.name")
    if name and not opts.field_selector.empty and selected != name:
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
    encoder = Encoder(call)
    watch = OpenWatch(call.request, lambda: None)
    try:
        async with aclosing(_events(call, encoder, opts, wanted, plan, watch)) as events:
            async for chunk in events:
                if watch.valve is not None and not await watch.valve.passes(len(chunk)):
                    return
                yield chunk
    except errors.ApiError as error:
        yield encoder.error(error)
    except Exception as error:  # a bug: the client must not take the end for a quiet one
        _log.exception("watch_failed", path=call.request.path)
        text = f"Internal error occurred: {type(error).__name__}"
        yield encoder.error(errors.InternalError(text, details={}))


async def _events(
    call: Call,
    encoder: Encoder,
    opts: ListOptions,
    wanted: WatchFilter,
    plan: _Plan,
    watch: OpenWatch,
) -> AsyncGenerator[bytes, None]:
    store, clock = call.services.store, call.services.clock
    duration_s = float(opts.timeout_s)
    if not duration_s:
        duration_s = _MIN_DURATION_S * (1 + call.services.rng.random())
    if plan.initial_events:
        await wait_for_revision(call.services, opts.revision)
    end_s = clock.monotonic_s() + duration_s
    since = store.revision if plan.initial_events or opts.revision == 0 else opts.revision
    subscription = store.hub.subscribe(wanted, since)
    watch.end = subscription.close
    try:
        call.services.watches.add(watch)
        if plan.initial_events:
            records = [
                one
                for one in store.list(wanted.resource_key, wanted.namespace)
                if wanted.wants(one)
            ]
            await call.kind.prepare(lambda: [one.load() for one in records], store=False)
            call.services.metrics.events(call.kind.resource, len(records))
            added = (part for record in records for part in encoder.added(record))
            for chunk in chunks(added):
                yield chunk
            if plan.end_bookmark:
                yield encoder.bookmark(since, _INITIAL_END)
        async for chunk in _changes(subscription, encoder, clock, end_s, plan, call):
            yield chunk
    finally:
        call.services.watches.discard(watch)
        store.hub.unsubscribe(subscription)


async def _changes(
    subscription: Subscription,
    encoder: Encoder,
    clock: Clock,
    end_s: float,
    plan: _Plan,
    call: Call,
) -> AsyncGenerator[bytes, None]:
    """Events until the time is over, the client is too slow, or the server stops."""
    bookmark_s = min(clock.monotonic_s() + _BOOKMARK_EVERY_S, end_s - _BOOKMARK_BEFORE_END_S)
    alarm = _Alarm(clock, subscription.interrupt)
    with closing(alarm):
        while True:
            now_s = clock.monotonic_s()
            if now_s >= end_s:
                return
            until_s = min(end_s, bookmark_s) if plan.bookmarks and bookmark_s > now_s else end_s
            alarm.set(until_s)
            try:
                deliveries = await subscription.next()
            except TimeoutError:
                if plan.bookmarks and until_s < end_s:
                    revision = call.services.store.revision
                    if revision >= subscription.since:
                        yield encoder.bookmark(revision, {})
                    last_s = end_s - _BOOKMARK_BEFORE_END_S
                    following_s = clock.monotonic_s() + _BOOKMARK_EVERY_S
                    bookmark_s = following_s if bookmark_s >= last_s else min(following_s, last_s)
                continue
            except Expired:
                return
            if not deliveries:
                return
            if call.kind.to_served_all is not None:
                await _prepare(call, deliveries)
            call.services.metrics.events(call.kind.resource, len(deliveries))
            for chunk in chunks(map(encoder.event, deliveries)):
                yield chunk


class _Alarm:
    """Does something at a time: one timer, however many events come before. To set one for each
    wait costs as much as the rest of a delivery."""

    def __init__(self, clock: Clock, act: Callable[[], None]) -> None:
        self._clock = clock
        self._act = act
        self._at_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at_s: float) -> None:
        """The time, in nominal seconds of the clock; instead of one that was set before."""
        if at_s != self._at_s:
            self.close()
            self._at_s = at_s
            self._timer = self._clock.call_later(at_s - self._clock.monotonic_s(), self._ring)

    def _ring(self) -> None:
        self._at_s = None  # who finds that it was early sets it again
        self._act()

    def close(self) -> None:
        """Do nothing any more."""
        if self._timer is not None:
            self._timer.cancel()


async def _prepare(call: Call, deliveries: Sequence[Delivery]) -> None:
    await call.kind.prepare(lambda: list(map(shown_tree, deliveries)), store=False)


# --- the long-poll ---


async def _poll(call: Call, opts: ListOptions, wanted: WatchFilter) -> ApiResponse:
    if not opts.revision_given:
        raise errors.BadRequest("resourceVersion is required for poll")
    store, query = call.services.store, call.request.query
    timeout_s = float(_POLL_DEFAULT_S)
    if "timeoutSeconds" in query:
        timeout_s = min(opts.timeout_s, _POLL_MAX_S)
    if opts.revision > store.revision and not await store.reach(opts.revision):
        # Known from a store that is gone (memory, a restored copy): the client must list again.
        raise Expired(f"too new resource version: {opts.revision} ({store.revision})")
    deliveries = store.hub.events_since(wanted, opts.revision, POLL_LIMIT)
    if not deliveries and timeout_s > 0:
        # Real seconds: a shortened wait would only make idle clients ask more often.
        watches = call.services.watches
        woken_at = await watches.woken(call.request, store.hub, wanted, timeout_s=timeout_s)
        if woken_at:
            deliveries = store.hub.events_since(wanted, woken_at - 1, POLL_LIMIT)
    fitting = _fitting(deliveries)
    revision = store.revision
    if fitting < len(deliveries) or fitting >= POLL_LIMIT:
        deliveries = deliveries[:fitting]
        revision = deliveries[-1].event.revision
    await _prepare(call, deliveries)
    call.services.metrics.events(call.kind.resource, len(deliveries))
    if call.negotiated.media is Media.MSGPACK:
        body = _poll_msgpack(call, deliveries, revision)
    else:
        body = _poll_json(call, deliveries, revision)
    media = Media.MSGPACK if call.negotiated.media is Media.MSGPACK else Media.JSON
    return finished(call.request, body, media)


def _fitting(deliveries: Sequence[Delivery]) -> int:
    """How many of the deliveries make one answer: at least one, if there is one."""
    size = 0
    for count, delivery in enumerate(deliveries, 1):
        size += len(delivery.event.record.json)
        if size >= POLL_BYTES and _complete(deliveries, count):
            return count
    return len(deliveries)


def _complete(deliveries: Sequence[Delivery], count: int) -> bool:
    """Whether the first so many can be told by the revision of the last: what was written in one
    transaction may have one revision."""
    return (
        count == len(deliveries)
        or deliveries[count].event.revision != deliveries[count - 1].event.revision
    )


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
