"""POST pods/<n>/binding, POST bindings: a scheduler's decision (spec api-machinery, section 9)."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import CREATED, tree_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write import binding as rules
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.registry import Given

_PODS = served.of(kinds.PODS)


async def bind(call: Call) -> ApiResponse:
    """POST pods/<n>/binding, or POST bindings: assign a pod to a node, once."""
    ctx = call.context()
    if await _bound_shortly(call, ctx):
        return tree_response(call.request, CREATED, call.negotiated, 201)
    binding = await call.on_body(lambda: call.decode_as("", "v1", "Binding", ctx))
    meta, route = binding["metadata"], call.route
    name = route.name or meta.get("name", "")
    if meta.get("name", name) != name:
        raise errors.BadRequest("name in URL does not match name in Binding object")
    rules.check(name, binding)
    request = AdmissionRequest(
        Operation.CREATE, kinds.PODS, route.namespace, name, ctx.user, "binding", binding,
        warnings=ctx.warnings, kind=("", "v1", "Binding"),
    )  # fmt: skip
    registry = call.services.registry
    registry.admission.mutate(request)
    await registry.chain.ask(request, ctx)
    ctx.subresource = "binding"
    await registry.update(
        _PODS,
        route.namespace,
        name,
        lambda pod: rules.bound(pod, binding, ctx.timestamp),
        ctx,
        prepare=lambda new, old, ctx: None,
        given=Given.OUTLINE,
    )
    return tree_response(call.request, CREATED, call.negotiated, 201)


async def _bound_shortly(call: Call, ctx: RequestContext) -> bool:
    """Whether the call was of the plain sort, and the pod is bound."""
    request, route, registry = call.request, call.route, call.services.registry
    if not route.name or request.query or request.audited is not None:
        return False
    content_type = request.headers.get("content-type", "")
    binding = rules.sent(content_type, request.body, route.name)
    if binding is None:
        return False
    pending = registry.short.binding(_PODS, route.namespace, route.name, binding, ctx)
    if pending is None:
        return False
    await registry.commit(_PODS, pending)
    return True
