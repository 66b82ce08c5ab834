"""GET, PUT and PATCH of ``/scale``: replicas as an autoscaling/v1 Scale (spec api-machinery, 9)."""

from collections.abc import Callable

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import Shape
from kubeherd.cluster.apiserver.edge.responses import tree_response
from kubeherd.cluster.apiserver.handlers import patching
from kubeherd.cluster.apiserver.handlers.applying import Applying
from kubeherd.cluster.apiserver.handlers.patchtypes import APPLY, Target, patch_type
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.handlers.writes import check_name
from kubeherd.cluster.apiserver.write.context import RequestContext

_SCALE = Target("autoscaling", "v1", "Scale")


async def scale(call: Call) -> ApiResponse:
    """GET, PUT and PATCH of ``/scale``."""
    if call.route.verb == "get":
        return await _get(call)
    ctx = call.context()
    if call.route.verb == "update":
        body = await call.on_body(
            lambda: call.decode_as(_SCALE.group, _SCALE.version, _SCALE.kind, ctx)
        )
        check_name(body, call.route.name)
        return await _write(call, lambda _: body, ctx)
    media_type = patch_type(call)
    if media_type == APPLY:
        return await _apply(call, ctx)
    return await _write(call, patching.patched_by(call, media_type, ctx, _SCALE), ctx)


async def _apply(call: Call, ctx: RequestContext) -> ApiResponse:
    """Server-side apply of a Scale: of ``spec.replicas`` of its workload, owned as that."""
    applying = Applying(call, ctx, _SCALE)

    def transform(tree: JsonObject) -> JsonObject:
        try:
            return applying.update(tree)
        except errors.Conflict as error:
            raise _as_scale(error, call.kind.resource.api_version) from None

    return await _updated(call, transform, ctx)


def _as_scale(error: errors.Conflict, api_version: str) -> errors.Conflict:
    """A conflict over the workload's replicas, with the version of Scale."""
    mine, shown = f" using {api_version}", " using autoscaling/v1"
    causes = [
        {**cause, "message": str(cause["message"]).replace(mine, shown)} for cause in error.causes
    ]
    return errors.Conflict(error.message.replace(mine, shown), details={"causes": causes})


async def _get(call: Call) -> ApiResponse:
    """The autoscaling/v1 Scale of a workload."""
    await call.services.store.fresh()
    tree = call.services.registry.get(call.kind.storage, call.route.namespace, call.route.name)
    if tree is None:
        raise errors.not_found(call.kind.resource, call.route.name)
    return _answer(call, _shown(call, tree))


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

    return await _updated(call, transform, ctx)


async def _updated(
    call: Call, transform: Callable[[JsonObject], JsonObject], ctx: RequestContext
) -> ApiResponse:
    """Store what `transform` makes of the workload; the answer is its Scale."""
    written = await call.services.registry.update(
        call.kind,
        call.route.namespace,
        call.route.name,
        transform,
        ctx,
        prepare=call.kind.strategy.prepare_update,
    )
    return _answer(call, _shown(call, call.kind.served(codecs.loads_json(written.json))))


def _answer(call: Call, scale: JsonObject) -> ApiResponse:
    if call.negotiated.shape is Shape.TABLE:
        scale = tables.table(
            tables.SCALES,
            [scale],
            now=call.services.clock.now(),
            metadata=tables.list_metadata(scale["metadata"]),
            include_object=call.request.query.get("includeObject", ""),
            version=call.negotiated.table_version,
        )
    return tree_response(call.request, scale, call.negotiated)


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
    if not ("matchLabels" in selector or "matchExpressions" in selector):
        selector = {"matchLabels": selector}
    replicas = spec.get("replicas", 0)
    return {
        **_scale_head(tree),
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (tree.get("status") or {}).get("replicas", 0),
            "selector": _selector_text(selector),
        },
    }


def _selector_text(selector: JsonObject) -> str:
    """The selector as text, its requirements by key; those of one key as they stand."""
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        key, operator = item.get("key", ""), item.get("operator", "")
        values = ",".join(sorted(item.get("values") or ()))
        texts = {
            "In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})",
            "Exists": key, "DoesNotExist": f"!{key}",
        }  # fmt: skip
        parts.append((key, texts.get(operator, key)))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))
