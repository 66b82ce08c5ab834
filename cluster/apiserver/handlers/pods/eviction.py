"""POST pods/<n>/eviction: a delete that respects disruption budgets (spec api-machinery, 9).

The budget is spent, the condition set and the pod deleted in three writes, as in Kubernetes.
"""

from msgspec.structs import replace

from kubeherd.cluster.api import errors, kinds, labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import CREATED, tree_response
from kubeherd.cluster.apiserver.handlers.pods.binding import set_condition
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import (
    DeleteOptions,
    check_preconditions,
    options_from_body,
)

_PODS = served.of(kinds.PODS)
_BUDGET_TEXT = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(call: Call) -> ApiResponse:
    """POST pods/<n>/eviction: delete a pod unless a PodDisruptionBudget forbids it."""
    ctx = call.context()
    eviction = await call.on_body(
        lambda: call.decode_as("policy", "v1", "Eviction", ctx, also="policy/v1beta1")
    )
    route, registry = call.route, call.services.registry
    if eviction["metadata"].get("name") != route.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    pod = registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    request = AdmissionRequest(
        Operation.CREATE, kinds.PODS, route.namespace, route.name, ctx.user, "eviction", eviction,
        warnings=ctx.warnings, kind=("policy", "v1", "Eviction"),
    )  # fmt: skip
    registry.admission.validate(request)
    options = options_from_body(dict(eviction.get("deleteOptions") or {}))
    ctx.dry_run = ctx.dry_run or options.dry_run
    await registry.chain.ask(request, ctx)
    phase = (pod.get("status") or {}).get("phase")
    spared = phase in ("Succeeded", "Failed", "Pending") or pod["metadata"].get("deletionTimestamp")
    if not spared:
        await _spend_budget(call, pod, ctx)
    if not ctx.dry_run:
        check_preconditions(kinds.PODS, pod, options)
        await _mark_disrupted(call, ctx)
        options = replace(options, resource_version="")  # the mark has made another version
    await _delete_evicted(call, options, ctx)
    return tree_response(call.request, CREATED, call.negotiated, 201)


async def _spend_budget(call: Call, pod: JsonObject, ctx: RequestContext) -> None:
    """Take one disruption from the pod's budget; 429 if there is none left."""
    budgets = []
    pod_labels = pod["metadata"].get("labels") or {}
    for budget in call.services.registry.list(kinds.PODDISRUPTIONBUDGETS, call.route.namespace):
        selector = (budget.get("spec") or {}).get("selector")
        if labels.from_selector(selector).matches(pod_labels):
            budgets.append(budget)
    if not budgets:
        return
    if len(budgets) > 1:
        # Kubernetes answers 500 here; this server never does.
        raise errors.Conflict(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )
    name = budgets[0]["metadata"]["name"]

    def spend(budget: JsonObject) -> JsonObject:
        status = dict(budget.get("status") or {})
        allowed = int(status.get("disruptionsAllowed") or 0)
        if allowed <= 0:
            raise errors.TooManyRequests(
                _BUDGET_TEXT,
                details={
                    "causes": [
                        {
                            "reason": "DisruptionBudget",
                            "message": f"The disruption budget {name} needs "
                            f"{status.get('desiredHealthy', 0)} healthy pods and has "
                            f"{status.get('currentHealthy', 0)} currently",
                        }
                    ]
                },
            )
        disrupted = {**(status.get("disruptedPods") or {})}
        disrupted[pod["metadata"]["name"]] = ctx.timestamp
        status.update(disruptionsAllowed=allowed - 1, disruptedPods=disrupted)
        budget["status"] = status
        return budget

    kind = served.of(kinds.PODDISRUPTIONBUDGETS)
    await call.services.registry.update(
        kind, call.route.namespace, name, spend, _internal(ctx), prepare=_as_given
    )


async def _mark_disrupted(call: Call, ctx: RequestContext) -> None:
    def mark(pod: JsonObject) -> JsonObject:
        condition: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        set_condition(pod.setdefault("status", {}), condition, ctx.timestamp)
        return pod

    await call.services.registry.update(
        _PODS,
        call.route.namespace,
        call.route.name,
        mark,
        _internal(ctx),
        prepare=_as_given,
    )


async def _delete_evicted(call: Call, options: DeleteOptions, ctx: RequestContext) -> None:
    await call.services.registry.delete(
        _PODS, call.route.namespace, call.route.name, options, _internal(ctx)
    )


def _as_given(new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
    """A write that the server itself composed: nothing to reset."""


def _internal(ctx: RequestContext) -> RequestContext:
    """The same request, for a write that is part of carrying it out."""
    return RequestContext(
        user=SERVER, now=ctx.now, field_manager="kube-apiserver", dry_run=ctx.dry_run, asked=True
    )
