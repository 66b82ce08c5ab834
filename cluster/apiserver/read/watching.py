"""Watch: the standard stream, fed by the store's hub; the private long-poll is in `polling`.

Source: spec api-machinery, section 3. Invariants: a watcher sees every matching event after its
start exactly once and in order, or its stream ends; the bytes of an event are made once per form,
however many watchers get it; what is made for a watcher before he has read it is bounded in bytes;
what the options have wrong is refused before a stream begins, and what fails later ends it with an
ERROR event.

A stream is a generator of bytes. While it waits for events, its watcher has read all it was sent:
what comes then is written by the hub's turn itself if the connection takes it at once (`Outlet`),
which costs a quarter of waking the stream's task.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing, closing

import msgspec
import structlog

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause, Expired
from kubeherd.cluster.api.fields import FieldSelector
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.private import nodeset
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, Outlet, WatchResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media, Shape, clauses, not_acceptable
from kubeherd.cluster.apiserver.handlers.reads import list_options, wait_for_revision
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import listing, polling
from kubeherd.cluster.apiserver.read.listing import ListOptions
from kubeherd.cluster.apiserver.read.openwatches import OpenWatch
from kubeherd.cluster.apiserver.read.watchevents import Encoder, chunks, prepare
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter
from kubeherd.cluster.store.watch.subscription import Subscription

_BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 2.0
_MIN_DURATION_S = 1800
_NOT_OLDER = "NotOlderThan"
_INITIAL_END = {"k8s.io/initial-events-end": "true"}

_log = structlog.get_logger(__name__)


async def watch(call: Call) -> ApiResponse | WatchResponse:
    """Answer a GET with ``watch``: a stream, or one long-poll where the client asks for it."""
    opts = await list_options(call)
    wanted = _filter(call, opts)
    if call.request.query.get("poll") == "1":
        return await polling.poll(call, opts, wanted)
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
    outlet = Outlet()
    return WatchResponse(_stream(call, opts, wanted, plan, outlet), content_type, outlet=outlet)


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
    """The hub's filter: node, namespace and name by index, the rest by a predicate."""
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
    return WatchFilter(
        call.kind.key,
        call.route.namespace,
        node,
        matches,
        name or selected or "",
        nodeset.parse(nodes) if nodes else None,
    )


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


async def _stream(
    call: Call, opts: ListOptions, wanted: WatchFilter, plan: _Plan, outlet: Outlet
) -> AsyncGenerator[bytes, None]:
    encoder = Encoder(call)
    watch = OpenWatch(call.request, lambda: None)
    way = _Way(call, encoder, watch, outlet)
    try:
        async with aclosing(_events(way, opts, wanted, plan)) as events:
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


class _Way(msgspec.Struct, frozen=True):
    """From the events to one client."""

    call: Call
    encoder: Encoder
    watch: OpenWatch
    outlet: Outlet

    def serve(self, deliveries: Collection[Delivery]) -> bool:
        """As `subscription.Serve`: write them without the stream's task, if nothing stands in
        between. What goes wrong is left to it as well: it knows how to say so."""
        write, kind = self.outlet.write, self.call.kind
        if write is None or self.watch.valve is not None or kind.to_served_all is not None:
            return False
        event = self.encoder.event
        try:
            if len(deliveries) == 1:  # as nearly always: all who want it are sent the same bytes
                (delivery,) = deliveries
                data = event(delivery)
            else:
                data = b"".join([event(delivery) for delivery in deliveries])
            if not write(data):
                return False
        except Exception:  # a bug, or a connection that breaks: the task meets it again
            return False
        self.call.services.metrics.events(kind.resource, len(deliveries))
        return True


async def _events(
    way: _Way, opts: ListOptions, wanted: WatchFilter, plan: _Plan
) -> AsyncGenerator[bytes, None]:
    call, encoder, watch = way.call, way.encoder, way.watch
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
        async for chunk in _changes(subscription, way, end_s, plan):
            yield chunk
    finally:
        call.services.watches.discard(watch)
        store.hub.unsubscribe(subscription)


async def _changes(
    subscription: Subscription, way: _Way, end_s: float, plan: _Plan
) -> AsyncGenerator[bytes, None]:
    """Events until the time is over, the client is too slow, or the server stops."""
    call, encoder, clock = way.call, way.encoder, way.call.services.clock
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
                deliveries = await subscription.next(way.serve)
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
                await prepare(call, deliveries)
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
