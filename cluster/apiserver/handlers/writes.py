"""POST, PUT and DELETE of objects and collections (spec api-machinery, sections 4 and 6)."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from kubeherd.cluster.api import errors, kinds, warnings
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import success, tree_response
from kubeherd.cluster.apiserver.handlers import alikecreates, answers
from kubeherd.cluster.apiserver.handlers.reads import list_options, page
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import listing
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.strategies.namespace import NamespaceStrategy
from kubeherd.cluster.apiserver.strategies.pod import PodStrategy
from kubeherd.cluster.apiserver.write import deletion
from kubeherd.cluster.apiserver.write.context import RequestContext, fence_of
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.pipeline import Given, Prepare
from kubeherd.cluster.apiserver.write.tracking import is_component
from kubeherd.cluster.store.state import Record

_T = TypeVar("_T")

_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)
_BATCH = 500
"""So many deletes of a collection are staged before other requests get their turn."""


async def create(call: Call) -> ApiResponse:
    """201 and the new object."""
    ctx = call.context()
    registry = call.services.registry
    if (made := alikecreates.stage(call, ctx)) is not None:
        written = await registry.outcomes.commit(call.kind, made.pending)
        return alikecreates.answer(call, made, written.json)
    tree = await call.on_body(lambda: call.decode(ctx))
    written = await registry.create(call.kind, call.route.namespace, tree, ctx)
    alikecreates.look_at(call, written, ctx)
    return await written_response(call, written, ctx)


def check_name(tree: JsonObject, name: str) -> None:
    """400 unless the object has the name that the URL gives it."""
    own = tree["metadata"].get("name", "")
    if not own:
        raise errors.BadRequest(
            f"the name of the object ({name} based on URL) was undeterminable: name must be "
            "provided"
        )
    if own != name:
        raise errors.BadRequest(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
        )


class _Sent:
    """The object of a PUT. A write takes it and changes it in place; one that has to begin again
    gets it decoded anew."""

    def __init__(self, call: Call, ctx: RequestContext, tree: JsonObject) -> None:
        self._call, self._ctx = call, ctx
        self._tree: JsonObject | None = tree

    def take(self, _: JsonObject) -> JsonObject:
        tree, self._tree = self._tree, None
        return tree if tree is not None else self._call.decode(self._ctx)


async def update(call: Call) -> ApiResponse:
    """200 and the changed object, or 201 for kinds that a PUT may create."""
    ctx = call.context()
    route = call.route
    pending = stage_renewal(call, ctx) if call.kind.resource is kinds.LEASES else None
    if pending is not None:
        written = await call.services.registry.outcomes.commit(call.kind, pending)
        return await written_response(call, written, ctx)
    tree = await call.on_body(lambda: call.decode(ctx))
    check_name(tree, route.name)
    sent = _Sent(call, ctx, tree)
    creates = call.kind.strategy.allows_create_on_update and route.subresource is None

    def create_missing() -> JsonObject:
        call.check_create()
        return tree

    written = await call.services.registry.update(
        call.kind,
        route.namespace,
        route.name,
        sent.take,
        ctx,
        prepare=preparation(call),
        on_missing=create_missing if creates else None,
        conditional=True,
        given=Given.NOTHING,
    )
    return await written_response(call, written, ctx)


def stage_renewal(call: Call, ctx: RequestContext) -> Pending | None:
    """The update of a Lease with a new renewTime and nothing else; None if it may be about more."""
    return _of_lease(call, ctx, call.services.registry.short.renewal)


def late_renewal(call: Call, ctx: RequestContext) -> ApiError | None:
    """What an update of a Lease is refused with that has a new renewTime but an old version; None
    if it may be about more."""
    return _of_lease(call, ctx, call.services.registry.short.late_renewal)


def _of_lease(
    call: Call,
    ctx: RequestContext,
    short: Callable[[ServedKind, str, str, str, bytes, RequestContext], _T | None],
) -> _T | None:
    request, route = call.request, call.route
    if request.query or request.audited is not None:
        return None
    content_type = request.headers.get("content-type", "")
    return short(call.kind, route.namespace, route.name, content_type, request.body, ctx)


def preparation(call: Call) -> Prepare:
    """How a write to the call's (sub)resource is combined with the stored object."""
    strategy, name = call.kind.strategy, call.route.subresource_name
    if not name:
        return strategy.prepare_update
    if name == "finalize" and isinstance(strategy, NamespaceStrategy):
        return strategy.prepare_finalize
    if isinstance(strategy, PodStrategy):
        if name == "ephemeralcontainers":
            return strategy.prepare_ephemeral_containers
        if name == "resize":
            return strategy.prepare_resize
    return strategy.prepare_status


async def delete(call: Call) -> ApiResponse:
    """200 with the object, or with a Status where it is gone and its kind says so."""
    options, ctx = await call.on_body(lambda: _delete_options(call))
    kind, route = call.kind, call.route
    written = await call.services.registry.delete(kind, route.namespace, route.name, options, ctx)
    if written.removed and not kind.strategy.returns_deleted_object:
        meta = _tree(written)["metadata"]
        return tree_response(call.request, success(kind, meta), call.negotiated)
    status = _status_of(options, written)
    return await answers.one(call, written.json, tree=written.tree, status=status)


def _status_of(options: DeleteOptions, written: Written) -> int:
    """200, or 202 where the object is still there and its dependents are to go."""
    return 202 if options.orphan_dependents is False and not written.removed else 200


def stage_delete(call: Call) -> tuple[Pending, int] | None:
    """The deletion of an object that is answered with it, staged, and the status of the answer;
    None, and nothing has happened, if somebody is to be asked or if it is large. ApiError: that is
    what `delete` would refuse it with."""
    request, kind, route, registry = call.request, call.kind, call.route, call.services.registry
    if registry.store.is_shared or request.audited is not None or not registry.chain.is_own:
        return None
    record = registry.store.head(kind.key, route.namespace, route.name)
    size_bytes = len(request.body) + (0 if record is None else record.size)
    if not call.services.heavy.is_light(size_bytes):
        return None
    options, ctx = _delete_options(call)
    if ctx.dry_run:  # its client is told of a state that might vanish
        return None
    pending = registry.stage_delete(kind, route.namespace, route.name, options, ctx)
    return pending, _status_of(options, pending.written)


async def delete_collection(call: Call) -> ApiResponse:
    """Delete each selected object; the answer lists them as they were."""
    options, ctx = await call.on_body(lambda: _delete_options(call))
    opts = await list_options(call)
    listing.check_list(opts, call.request.query)
    records, meta = await page(call, opts)
    await call.kind.prepare(lambda: [one.load() for one in records], store=True)
    for start in range(0, len(records), _BATCH):
        await _delete_batch(call, records[start : start + _BATCH], options, ctx)
    return await answers.many(call, records, meta)


async def _delete_batch(
    call: Call, records: Sequence[Record], options: DeleteOptions, ctx: RequestContext
) -> None:
    """Delete some objects of a collection; what is staged is committed even if one is refused."""
    registry = call.services.registry
    staged: list[tuple[Record, Pending]] = []
    try:
        for one in records:
            with suppress(errors.NotFound):
                await registry.webhooks.before_delete(call.kind, one.namespace, one.name, ctx)
                pending = registry.stage_delete(call.kind, one.namespace, one.name, options, ctx)
                staged.append((one, pending))
    finally:
        outcomes = registry.outcomes
        superseded = await outcomes.commit_all(call.kind, [pending for _, pending in staged])
    for one, pending in staged:
        if pending in superseded:
            with suppress(errors.NotFound):
                await registry.delete(call.kind, one.namespace, one.name, options, ctx)


def _delete_options(call: Call) -> tuple[DeleteOptions, RequestContext]:
    request = call.request
    options = _sent_options(call)
    ctx = RequestContext(
        user=request.user,
        now=call.services.clock.now(),
        dry_run=options.dry_run,
        warnings=call.warnings,
        fence=fence_of(request.headers),
    )
    if call.kind.resource.group_resource == "jobs.batch" and not options.says_what_follows:
        ctx.warnings.append(_PODS_STAY)
    return options, ctx


def _sent_options(call: Call) -> DeleteOptions:
    """The options in the call's body; without one those of its query."""
    sent, content_type = call.request.body, call.request.headers.get("content-type", "")
    if not sent:
        return deletion.options_from_query(call.request.query)
    plain = deletion.plain_options(content_type, sent)
    if plain is not None:
        return plain
    expected = (call.kind.resource.api_version, "DeleteOptions")
    body: JsonObject = codecs.decode_body(content_type, sent, expected=expected).tree
    return deletion.options_from_body(body)


async def written_response(call: Call, written: Written, ctx: RequestContext) -> ApiResponse:
    """The answer to a create, update or patch. The cluster's own components are not warned: they
    make what templates say, and their owners have been."""
    key = call.kind.resource.group_resource
    if (written.created or key == "services") and not is_component(ctx.user):
        warned = warnings.of_created(key)
        if warned is not None:
            ctx.warnings.extend(warned(_tree(written)))
    return await answers.one(
        call,
        written.json,
        tree=written.tree,
        status=201 if written.created else 200,
        warnings=ctx.warnings,
    )


def _tree(written: Written) -> JsonObject:
    """What was written, in its stored form."""
    tree: JsonObject = codecs.loads_json(written.json) if written.tree is None else written.tree
    return tree
