"""POST pods/<n>/binding, POST bindings: a scheduler's decision (spec api-machinery, section 9)."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.admission import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import CREATED, tree_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.registry import Given

_PODS = served.of(kinds.PODS)


async def bind(call: Call) -> ApiResponse:
    """POST pods/<n>/binding, or POST bindings: assign a pod to a node, once."""
    ctx = call.context()
    binding = await call.on_body(lambda: call.decode_as("", "v1", "Binding", ctx))
    meta, route = binding["metadata"], call.route
    name = route.name or meta.get("name", "")
    if meta.get("name", name) != name:
        raise errors.BadRequest("name in URL does not match name in Binding object")
    _check_binding(name, binding)
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
        lambda pod: _bound(pod, binding, ctx),
        ctx,
        prepare=lambda new, old, ctx: None,
        given=Given.OUTLINE,
    )
    return tree_response(call.request, CREATED, call.negotiated, 201)


def _check_binding(name: str, binding: JsonObject) -> None:
    target = binding.get("target") or {}
    causes = []
    kind = target.get("kind", "")
    if kind not in ("", "Node"):
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f'Unsupported value: "{kind}": supported values: "Node", ""',
                "target.kind",
            )
        )
    if not target.get("name"):
        causes.append(Cause("FieldValueRequired", "Required value", "target.name"))
    if causes:
        raise errors.invalid("", "Binding", name, causes)


def _binding_conflict(name: str, why: str) -> errors.Conflict:
    return errors.Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        details={"name": name, "kind": "pods/binding"},
    )


def _bound(pod: JsonObject, binding: JsonObject, ctx: RequestContext) -> JsonObject:
    """The pod assigned to the binding's target; Conflict where that is no longer possible."""
    meta, spec, given = pod["metadata"], dict(pod["spec"]), binding["metadata"]
    name = meta["name"]
    for key, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if given.get(key) and given[key] != meta[key]:
            raise _binding_conflict(
                name,
                f"Precondition failed: {label} in precondition: {given[key]}, "
                f"{label} in object meta: {meta[key]}",
            )
    if meta.get("deletionTimestamp"):
        raise _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _binding_conflict(
            name, f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        )
    if spec.get("schedulingGates"):
        raise _binding_conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for key in ("annotations", "labels"):
        if given.get(key):
            meta[key] = {**(meta.get(key) or {}), **given[key]}
    status = pod.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    set_condition(
        status,
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None},
        ctx.timestamp,
    )
    pod["spec"] = spec
    return pod


def set_condition(status: JsonObject, condition: JsonObject, timestamp: str) -> None:
    """Add or replace a condition by its type; the transition time changes with the status."""
    conditions = list(status.get("conditions") or ())
    for index, existing in enumerate(conditions):
        if existing.get("type") == condition["type"]:
            same = existing.get("status") == condition["status"]
            moment = existing.get("lastTransitionTime") if same else timestamp
            conditions[index] = {**condition, "lastTransitionTime": moment}
            break
    else:
        conditions.append({**condition, "lastTransitionTime": timestamp})
    status["conditions"] = conditions
