"""POST pods/<n>/binding, POST bindings: a scheduler's decision (spec api-machinery, section 9)."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import CREATED, tree_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write import binding as rules
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.pending import Pending
from kubeherd.cluster.apiserver.write.pipeline import Given
from kubeherd.cluster.apiserver.write.short.binding import sent

_PODS = served.of(kinds.PODS)


async def bind(call: Call) -> ApiResponse:
    """POST pods/<n>/binding, or POST bindings: assign a pod to a node, once."""
    ctx = call.context()
    if (pending := stage(call, ctx)) is not None:
        await call.services.registry.outcomes.commit(_PODS, pending)
        return answer(call)
    binding = await call.on_body(lambda: call.decode_as("", "v1", "Binding", ctx))
    meta, route = binding["metadata"], call.route
    name = route.name or meta.get("name", "")
    if meta.get("name", "") != name:
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
    return answer(call)


def stage(call: Call, ctx: RequestContext) -> Pending | None:
    """A binding of the plain sort, staged; None, and nothing has happened, if it may be another."""
    request, route = call.request, call.route
    if not route.name or request.query or request.audited is not None:
        return None
    content_type = request.headers.get("content-type", "")
    binding = sent(content_type, request.body, route.name)
    if binding is None:
        return None
    short = call.services.registry.short
    return short.binding(_PODS, route.namespace, route.name, binding, ctx)


def answer(call: Call) -> ApiResponse:
    """The pod is bound."""
    return tree_response(call.request, CREATED, call.negotiated, 201)
