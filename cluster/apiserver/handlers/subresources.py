"""Binding, eviction, log, scale, and the subresources that need a real kubelet.

Source: spec api-machinery, section 9.
"""

from collections.abc import Callable

from cluster.api import codecs, errors, kinds, labels, patches
from cluster.api.errors import Cause
from cluster.api.jsontypes import JsonObject
from cluster.apiserver import served
from cluster.apiserver.admission import AdmissionRequest, Operation
from cluster.apiserver.authn import SERVER
from cluster.apiserver.context import RequestContext
from cluster.apiserver.deletion import DeleteOptions, options_from_body
from cluster.apiserver.handlers.services import Call
from cluster.apiserver.messages import ApiResponse
from cluster.apiserver.responses import tree_response

_PODS = served.of(kinds.PODS)
_CREATED: JsonObject = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
_MERGE_TYPES = ("application/merge-patch+json", "application/strategic-merge-patch+json")
_BUDGET_TEXT = "Cannot evict pod as it would violate the pod's disruption budget."


async def bind(call: Call) -> ApiResponse:
    """POST pods/<n>/binding, or POST bindings: assign a pod to a node, once."""
    ctx = call.context()
    binding = call.decode_as("", "v1", "Binding", ctx)
    meta, route = binding["metadata"], call.route
    name = route.name or meta.get("name", "")
    if meta.get("name", name) != name:
        raise errors.BadRequest("name in URL does not match name in Binding object")
    _check_binding(name, binding)
    call.services.registry.admission.mutate(
        AdmissionRequest(
            Operation.CREATE, kinds.PODS, route.namespace, name, ctx.user, "binding", binding
        )
    )
    ctx.subresource = "binding"
    await call.services.registry.update(
        _PODS,
        route.namespace,
        name,
        lambda pod: _bound(pod, binding, ctx),
        ctx,
        prepare=lambda new, old, ctx: None,
    )
    return tree_response(call.request, _CREATED, call.negotiated, 201)


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


async def evict(call: Call) -> ApiResponse:
    """POST pods/<n>/eviction: delete a pod unless a PodDisruptionBudget forbids it."""
    ctx = call.context()
    eviction = call.decode_as("policy", "v1", "Eviction", ctx)
    route, registry = call.route, call.services.registry
    if eviction["metadata"].get("name", route.name) != route.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    pod = registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    request = AdmissionRequest(
        Operation.CREATE, kinds.PODS, route.namespace, route.name, ctx.user, "eviction", eviction
    )
    registry.admission.validate(request)
    options = options_from_body(dict(eviction.get("deleteOptions") or {}))
    ctx.dry_run = ctx.dry_run or options.dry_run
    phase = (pod.get("status") or {}).get("phase")
    spared = phase in ("Succeeded", "Failed", "Pending") or pod["metadata"].get("deletionTimestamp")
    if not spared:
        await _spend_budget(call, pod, ctx)
        await _mark_disrupted(call, ctx)
    await _delete_evicted(call, options, ctx)
    return tree_response(call.request, _CREATED, call.negotiated, 201)


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
        user=SERVER, now=ctx.now, field_manager="kube-apiserver", dry_run=ctx.dry_run
    )


async def log(call: Call) -> ApiResponse:
    """GET pods/<n>/log: the checks of Kubernetes, and a fake container's few lines."""
    route, query = call.route, call.request.query
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    spec = pod.get("spec") or {}
    names = [
        container["name"]
        for group in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(group) or ()
    ]
    container = query.get("container", "")
    if not container:
        if len(names) != 1:
            raise errors.BadRequest(
                f"a container name must be specified for pod {route.name}, choose one of: "
                f"[{' '.join(names)}]"
            )
        container = names[0]
    elif container not in names:
        raise errors.BadRequest(f"container {container} is not valid for pod {route.name}")
    if not spec.get("nodeName"):
        return ApiResponse(204, b"", "text/plain")
    state = _container_state(pod, container)
    waiting = state.get("waiting") or {}
    if "running" not in state and "terminated" not in state:
        reason = waiting.get("reason", "ContainerCreating")
        raise errors.BadRequest(
            f'container "{container}" in pod "{route.name}" is waiting to start: {reason}'
        )
    return ApiResponse(200, b"", "text/plain")


def _container_state(pod: JsonObject, container: str) -> JsonObject:
    status = pod.get("status") or {}
    for group in (
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ):
        for entry in status.get(group) or ():
            if entry.get("name") == container:
                return dict(entry.get("state") or {})
    return {}


async def connect(call: Call) -> ApiResponse:
    """exec, attach, portforward, proxy: there is no real container or service to reach."""
    route = call.route
    kind, name = call.kind, route.name
    if call.services.registry.get(kind.storage, route.namespace, name) is None:
        raise errors.not_found(kind.resource, name)
    raise errors.BadRequest(
        f"{kind.resource.plural}/{route.subresource_name} is not available: kubeherd's pods and "
        "nodes are fake and run no processes"
    )


# --- scale ---


async def scale(call: Call) -> ApiResponse:
    """GET, PUT and PATCH of ``/scale``."""
    if call.route.verb == "get":
        return await scale_get(call)
    if call.route.verb == "update":
        body = call.decode_as("autoscaling", "v1", "Scale", call.context())
        return await scale_write(call, lambda _: body)
    content_type = codecs.media_type(call.request.headers.get("content-type", ""))
    body = codecs.loads_json(call.request.body)
    if content_type == "application/json-patch+json":
        return await scale_write(call, lambda current: patches.json_patch(current, body))
    if content_type in _MERGE_TYPES and isinstance(body, dict):
        return await scale_write(call, lambda current: patches.merge_patch(current, body))
    raise errors.UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: "
        f"application/json-patch+json, {', '.join(_MERGE_TYPES)}"
    )


async def scale_get(call: Call) -> ApiResponse:
    """The autoscaling/v1 Scale of a workload."""
    tree = call.services.registry.get(call.kind.storage, call.route.namespace, call.route.name)
    if tree is None:
        raise errors.not_found(call.kind.resource, call.route.name)
    return tree_response(call.request, scale_of(tree), call.negotiated)


async def scale_write(call: Call, change: Callable[[JsonObject], JsonObject]) -> ApiResponse:
    """Set the replicas that `change` makes of the current Scale."""
    ctx = call.context()
    result: JsonObject = {}

    def transform(tree: JsonObject) -> JsonObject:
        wanted = change(scale_of(tree))
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            cause = Cause(
                "FieldValueInvalid",
                f"Invalid value: {replicas}: must be greater than or equal to 0",
                "spec.replicas",
            )
            raise errors.invalid("autoscaling", "Scale", call.route.name, [cause])
        meta = wanted.get("metadata") or {}
        for key in ("resourceVersion", "uid"):
            if meta.get(key):
                tree["metadata"][key] = meta[key]
        tree["spec"] = {**tree["spec"], "replicas": replicas}
        return tree

    written = await call.services.registry.update(
        call.kind,
        call.route.namespace,
        call.route.name,
        transform,
        ctx,
        prepare=call.kind.strategy.prepare_update,
    )
    result = scale_of(codecs.loads_json(written.json))
    return tree_response(call.request, result, call.negotiated)


def scale_of(tree: JsonObject) -> JsonObject:
    """The Scale view of a workload."""
    meta, spec = tree["metadata"], tree.get("spec") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = spec.get("selector") or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        text = _selector_text(selector)
    else:
        text = ",".join(f"{key}={selector[key]}" for key in sorted(selector))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {
            "replicas": (tree.get("status") or {}).get("replicas", 0),
            "selector": text,
        },
    }


def _selector_text(selector: JsonObject) -> str:
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        key, operator = item.get("key", ""), item.get("operator", "")
        values = ",".join(sorted(item.get("values") or ()))
        parts.append({
            "In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})",
            "Exists": key, "DoesNotExist": f"!{key}",
        }.get(operator, key))  # fmt: skip
    return ",".join(sorted(parts))
