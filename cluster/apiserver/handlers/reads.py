"""GET of an object and of a collection (spec api-machinery, section 2)."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers import answers
from kubeherd.cluster.apiserver.handlers.services import Call, Services
from kubeherd.cluster.apiserver.read import listing
from kubeherd.cluster.apiserver.read.listing import ListOptions
from kubeherd.cluster.store.state import Record

_WAIT_FOR_REVISION_S = 3.0
_WAIT_STEP_S = 0.05
_SELECTING_BYTES = 8
"""Selecting from that many records is work like that on so many bytes of input each."""


async def get(call: Call) -> ApiResponse:
    """The object in its newest committed state; with a ``resourceVersion`` as this server knows it,
    at least that new."""
    revision = call.request.query.get("resourceVersion")
    if revision:
        await wait_for_revision(call.services, parameters.revision(revision))
    else:
        await call.services.store.fresh()
    route = call.route
    record = call.services.store.get(call.kind.key, route.namespace, route.name)
    if record is None:
        raise errors.not_found(call.kind.resource, route.name)
    return await answers.one(call, record.json)


async def list_objects(call: Call) -> ApiResponse:
    """The collection, selected and chunked."""
    opts = await list_options(call)
    listing.check_list(opts, call.request.query)
    if opts.revision_given or opts.token is not None:
        await wait_for_revision(call.services, opts.revision)
    else:
        await call.services.store.fresh()
    records, meta = await page(call, opts)
    return await answers.many(call, records, meta)


async def list_options(call: Call) -> ListOptions:
    """The checked query parameters of a list or watch."""
    query = call.request.query
    size_bytes = sum(map(len, query.values())) if query else 0
    watching = call.route.verb == "watch"
    return await call.services.heavy.run(
        lambda: listing.options(call.kind, query, watching=watching), size_bytes
    )


async def page(call: Call, opts: ListOptions) -> tuple[list[Record], JsonObject]:
    """The records of one page of a collection and the list's metadata."""
    services, namespace = call.services, call.route.namespace
    now_s = int(services.clock.now().timestamp()) if opts.limit or opts.token else 0
    found = listing.find(services.store, call.kind, namespace, opts, now_s)
    return await services.heavy.run(
        lambda: listing.page(found, namespace, opts, now_s),
        len(found.records) * _SELECTING_BYTES if opts.selects else 0,
    )


async def wait_for_revision(services: Services, revision: int) -> None:
    """Wait until the store has reached a revision; 504 after 3 s."""
    store, clock = services.store, services.clock
    if revision <= store.revision or await store.reach(revision):
        return
    deadline_s = clock.monotonic_s() + _WAIT_FOR_REVISION_S
    while revision > store.revision:
        if clock.monotonic_s() >= deadline_s:
            raise listing.too_large(revision, store.revision)
        await clock.sleep(_WAIT_STEP_S)
