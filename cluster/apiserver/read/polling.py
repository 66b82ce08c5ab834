"""The private long-poll (ARCHITECTURE.md): all events that there are as one answer.

Invariants: a poller sees every matching event after its revision exactly once and in order, or is
told to list again; an answer is bounded in events and bytes, and says up to which revision it goes.
"""

from collections.abc import Sequence

import msgpack

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media
from kubeherd.cluster.apiserver.edge.responses import finished, polled
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read.listing import ListOptions
from kubeherd.cluster.apiserver.read.watchevents import prepare, shown_tree
from kubeherd.cluster.store.state import EventType
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter

POLL_LIMIT = 500
POLL_BYTES = 4 * 1024 * 1024
"""An answer to a long-poll ends with the event that reaches this."""

_POLL_DEFAULT_S = 30
_POLL_MAX_S = 3600


async def poll(call: Call, opts: ListOptions, wanted: WatchFilter) -> ApiResponse:
    """The events newer than the revision that the client knows, waiting for the first one."""
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
    await prepare(call, deliveries)
    call.services.metrics.events(call.kind.resource, len(deliveries))
    if call.negotiated.media is Media.MSGPACK:
        body = _poll_msgpack(call, deliveries, revision)
        return finished(call.request, body, Media.MSGPACK)
    return polled(call.request, _poll_json(call, deliveries, revision))


def _fitting(deliveries: Sequence[Delivery]) -> int:
    """How many of the deliveries make one answer: at least one, if there is one."""
    size = 0
    for count, delivery in enumerate(deliveries, 1):
        size += delivery.event.record.size
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
