"""GET, PUT and PATCH of ``/scale``: replicas as an autoscaling/v1 Scale (spec api-machinery, 9)."""

from collections.abc import Callable

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import tree_response
from kubeherd.cluster.apiserver.handlers import patching
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.write.context import RequestContext

_SCALE = patching.Target("autoscaling", "v1", "Scale")
_PATCH_TYPES = (patching.JSON_PATCH, patching.MERGE_PATCH, patching.STRATEGIC)


async def scale(call: Call) -> ApiResponse:
    """GET, PUT and PATCH of ``/scale``."""
    if call.route.verb == "get":
        return await _get(call)
    ctx = call.context()
    if call.route.verb == "update":
        body = await call.on_body(
            lambda: call.decode_as(_SCALE.group, _SCALE.version, _SCALE.kind, ctx)
        )
        return await _write(call, lambda _: body, ctx)
    media_type = codecs.media_type(call.request.headers.get("content-type", ""))
    accepted = _PATCH_TYPES if call.kind.resource.custom is None else _PATCH_TYPES[:2]
    if media_type not in accepted:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
    return await _write(call, await patching.patched_by(call, media_type, ctx, _SCALE), ctx)


async def _get(call: Call) -> ApiResponse:
    """The autoscaling/v1 Scale of a workload."""
    tree = call.services.registry.get(call.kind.storage, call.route.namespace, call.route.name)
    if tree is None:
        raise errors.not_found(call.kind.resource, call.route.name)
    return tree_response(call.request, _shown(call, tree), call.negotiated)


def _shown(call: Call, tree: JsonObject) -> JsonObject:
    """The Scale of an object: where its definition says, if it is a custom resource."""
    custom = call.kind.resource.custom
    if custom is None or custom.scale is None:
        return scale_of(tree)
    from kubeherd.cluster.api.customresources import scaling  # noqa: PLC0415 - seldom needed

    path = custom.scale["specReplicasPath"]
    if scaling.at(tree, path) is None:
        text = f"Internal error occurred: the spec replicas field {quoted(path)} does not exist"
        raise errors.InternalError(text, details={"causes": [{"message": text[25:]}]})
    return {**_scale_head(tree), **scaling.view(custom.scale, tree)}


def _put_replicas(call: Call, tree: JsonObject, replicas: int) -> None:
    custom = call.kind.resource.custom
    if custom is None or custom.scale is None:
        tree["spec"] = {**tree["spec"], "replicas": replicas}
        return
    from kubeherd.cluster.api.customresources import scaling  # noqa: PLC0415 - seldom needed

    scaling.put(tree, custom.scale["specReplicasPath"], replicas)


async def _write(
    call: Call, change: Callable[[JsonObject], JsonObject], ctx: RequestContext
) -> ApiResponse:
    """Set the replicas that `change` makes of the current Scale; it returns a decoded one."""

    def transform(tree: JsonObject) -> JsonObject:
        wanted = change(_shown(call, tree))
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
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
        _put_replicas(call, tree, replicas)
        return tree

    written = await call.services.registry.update(
        call.kind,
        call.route.namespace,
        call.route.name,
        transform,
        ctx,
        prepare=call.kind.strategy.prepare_update,
    )
    result = _shown(call, call.kind.served(codecs.loads_json(written.json)))
    return tree_response(call.request, result, call.negotiated)


def _scale_head(tree: JsonObject) -> JsonObject:
    meta = tree["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
    }


def scale_of(tree: JsonObject) -> JsonObject:
    """The Scale view of a workload."""
    spec = tree.get("spec") or {}
    selector = spec.get("selector") or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        text = _selector_text(selector)
    else:
        text = ",".join(f"{key}={selector[key]}" for key in sorted(selector))
    return {
        **_scale_head(tree),
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
