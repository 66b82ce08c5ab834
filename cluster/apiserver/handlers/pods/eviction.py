"""POST pods/<n>/eviction: a delete that respects disruption budgets (spec api-machinery, 9).

The budget is spent, the condition set and the pod deleted in three writes, as in Kubernetes.
"""

from msgspec.structs import replace

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import CREATED, tree_response
from kubeherd.cluster.apiserver.handlers.pods import budgets
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.binding import set_condition
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import (
    DeleteOptions,
    check_preconditions,
    options_from_body,
)

_PODS = served.of(kinds.PODS)
_UNGUARDED_TRIES = 20
_UNSAFE = "ignoreStoreReadErrorWithClusterBreakingPotential"


async def evict(call: Call) -> ApiResponse:
    """POST pods/<n>/eviction: delete a pod unless a PodDisruptionBudget forbids it."""
    ctx = call.context()
    eviction = await call.on_body(
        lambda: call.decode_as("policy", "v1", "Eviction", ctx, also="policy/v1beta1")
    )
    route, registry = call.route, call.services.registry
    if eviction["metadata"].get("name") != route.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    sent = dict(eviction.get("deleteOptions") or {})
    if sent.get(_UNSAFE):
        what = "Invalid value: true: can not be set for pod eviction, try after removing the option"
        cause = Cause("FieldValueInvalid", what, f"deleteOptions.{_UNSAFE}")
        raise errors.invalid("policy", "Eviction", route.name, [cause])
    _pod(call)
    request = AdmissionRequest(
        Operation.CREATE, kinds.PODS, route.namespace, route.name, ctx.user, "eviction", eviction,
        warnings=ctx.warnings, kind=("policy", "v1", "Eviction"),
    )  # fmt: skip
    registry.admission.validate(request)
    options = options_from_body(sent)
    ctx.dry_run = ctx.dry_run or options.dry_run
    await registry.chain.ask(request, ctx)
    if not await _evict_unguarded(call, options, ctx):
        await _evict_guarded(call, options, ctx)
    return tree_response(call.request, CREATED, call.negotiated, 201)


def _pod(call: Call) -> JsonObject:
    """The pod as it is now; NotFound."""
    pod = call.services.registry.get(kinds.PODS, call.route.namespace, call.route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, call.route.name)
    return pod


async def _evict_unguarded(call: Call, options: DeleteOptions, ctx: RequestContext) -> bool:
    """Delete a pod that no budget guards: one that has ended, was not running yet, or is going
    anyway. False if it is none of these."""
    refusal: errors.Conflict | None = None
    for _ in range(_UNGUARDED_TRIES):
        pod = _pod(call)
        phase = (pod.get("status") or {}).get("phase")
        ended = phase in ("Succeeded", "Failed") or pod["metadata"].get("deletionTimestamp")
        if not ended and phase != "Pending":
            return False
        chosen = options
        if not ended and options.resource_version is None:  # it may become ready this very moment
            chosen = replace(options, resource_version=pod["metadata"]["resourceVersion"])
        try:
            await _delete(call, chosen, ctx)
        except errors.Conflict as error:
            if options.resource_version is not None:
                raise
            refusal = error  # another version, or the uid of another pod
            continue
        return True
    raise refusal or errors.conflict(kinds.PODS, call.route.name, errors.MODIFIED)


async def _evict_guarded(call: Call, options: DeleteOptions, ctx: RequestContext) -> None:
    """Delete a running pod, as far as its budget allows it."""
    pod = _pod(call)
    registry, namespace = call.services.registry, call.route.namespace
    budget = budgets.budget_of(pod, registry.list(kinds.PODDISRUPTIONBUDGETS, namespace))
    if budget is None:
        await _delete(call, options, ctx)
        return
    name = budget["metadata"]["name"]
    if not budgets.goes_free(pod, budget):
        await registry.update(
            served.of(kinds.PODDISRUPTIONBUDGETS),
            namespace,
            name,
            lambda tree: budgets.spend(tree, call.route.name, ctx.timestamp),
            _internal(ctx),
            prepare=_as_given,
        )
        await _delete(call, options, ctx)
        return
    judged = replace(options, resource_version=pod["metadata"]["resourceVersion"])
    try:
        await _delete(call, judged, ctx)
    except errors.Conflict:
        if options.resource_version is not None:
            raise
        raise budgets.in_progress(name) from None


async def _delete(call: Call, options: DeleteOptions, ctx: RequestContext) -> None:
    """Mark the pod as disrupted and delete it; Conflict by the preconditions."""
    if not ctx.dry_run:
        version = await _mark_disrupted(call, options, ctx)
        if options.resource_version is not None:  # the mark has made another version
            options = replace(options, resource_version=version)
    await call.services.registry.delete(
        _PODS, call.route.namespace, call.route.name, options, _internal(ctx)
    )


async def _mark_disrupted(call: Call, options: DeleteOptions, ctx: RequestContext) -> str:
    """Set the condition; returns the resourceVersion that the pod has then."""

    def mark(pod: JsonObject) -> JsonObject:
        check_preconditions(kinds.PODS, pod, options)
        condition: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        set_condition(pod.setdefault("status", {}), condition, ctx.timestamp)
        return pod

    written = await call.services.registry.update(
        _PODS, call.route.namespace, call.route.name, mark, _internal(ctx), prepare=_as_given
    )
    return str(codecs.loads_json(written.json)["metadata"]["resourceVersion"])


def _as_given(new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
    """A write that the server itself composed: nothing to reset."""


def _internal(ctx: RequestContext) -> RequestContext:
    """The same request, for a write that is part of carrying it out."""
    return RequestContext(
        user=SERVER, now=ctx.now, field_manager="kube-apiserver", dry_run=ctx.dry_run, asked=True,
        fence=ctx.fence,
    )  # fmt: skip
