"""GET of an object and of a collection (spec api-machinery, section 2)."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import list_response, object_response
from kubeherd.cluster.apiserver.handlers.services import Call, Services
from kubeherd.cluster.apiserver.read import listing

_WAIT_FOR_REVISION_S = 3.0
_WAIT_STEP_S = 0.05


async def get(call: Call) -> ApiResponse:
    """The object in its newest committed state, at least as new as ``resourceVersion``."""
    revision = call.request.query.get("resourceVersion")
    if revision:
        await wait_for_revision(call.services, listing.parse_revision(revision))
    route = call.route
    record = call.services.store.get(call.kind.key, route.namespace, route.name)
    if record is None:
        raise errors.not_found(call.kind.resource, route.name)
    return object_response(
        call.request, call.kind, record.json, call.negotiated, call.services.clock
    )


async def list_objects(call: Call) -> ApiResponse:
    """The collection, selected and chunked."""
    opts = listing.options(call.kind, call.request.query)
    listing.check_list(opts, call.request.query)
    await wait_for_revision(call.services, opts.revision)
    records, meta = listing.collect(call.services.store, call.kind, call.route.namespace, opts)
    return list_response(
        call.request, call.kind, records, meta, call.negotiated, call.services.clock
    )


async def wait_for_revision(services: Services, revision: int) -> None:
    """Wait until the store has reached a revision; 504 after 3 s."""
    store, clock = services.store, services.clock
    if revision <= store.revision:
        return
    deadline_s = clock.monotonic_s() + _WAIT_FOR_REVISION_S
    while revision > store.revision:
        if clock.monotonic_s() >= deadline_s:
            raise listing.too_large(revision, store.revision)
        await clock.sleep(_WAIT_STEP_S)
