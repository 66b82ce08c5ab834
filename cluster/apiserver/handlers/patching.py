"""PATCH: JSON, merge and strategic merge patches; server-side apply is `applying`'s.

Source: spec api-machinery, section 10. A patch is applied to the stored object in the served
version; the result goes the way of an update. Because nothing awaits between reading and staging,
concurrent writers cannot make a patch conflict.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from kubeherd.cluster.api import defaults, errors, patches
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import cut, plain, quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import PODS, Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gotypes import json_type_of
from kubeherd.cluster.api.serializer import codecs, decoding, gojson
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers import objectkinds
from kubeherd.cluster.apiserver.handlers.applying import Applying
from kubeherd.cluster.apiserver.handlers.patchtypes import (
    APPLY,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC,
    Target,
    of_resource,
    patch_type,
)
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.handlers.writes import check_name, preparation, written_response
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext
from kubeherd.cluster.apiserver.write.pending import Pending
from kubeherd.cluster.apiserver.write.pipeline import Given
from kubeherd.cluster.apiserver.write.short import podstatus
from kubeherd.cluster.apiserver.write.short.podstatus import Patch, Sent
from kubeherd.cluster.apiserver.write.tracking import is_component

_ALWAYS_READ = frozenset({"apiVersion", "kind"})
_DIRECTED = (b"null", b"$", b"\\")
"""One of them is in each JSON text with a null or with the name of a directive, escaped or not."""

Transform: TypeAlias = Callable[[JsonObject], JsonObject]


async def patch(call: Call) -> ApiResponse:
    """200 and the patched object; an apply may create it (201)."""
    media_type = patch_type(call)
    ctx = call.context()
    part = call.route.subresource_name == "status"
    on_missing = None
    if part and call.kind.resource is PODS:
        pending = stage_status(call, media_type, ctx)
        if pending is not None:
            written = await call.services.registry.outcomes.commit(call.kind, pending)
            return await written_response(call, written, ctx)
    if media_type == APPLY:
        applying = await call.on_body(lambda: Applying(call, ctx))
        transform: Transform = applying.update
        on_missing = applying.create
    else:
        resource = call.kind.resource
        apply_defaults = defaults.apply_to_status if part else defaults.apply
        transform = patched_by(call, media_type, ctx, default=partial(apply_defaults, resource))
    route = call.route
    # A strategic merge changes no tree, and decoding none that was decoded.
    is_pure = media_type == STRATEGIC and part and call.kind.resource is PODS
    if route.subresource is not None:
        on_missing = None
    written = await call.services.registry.update(
        call.kind,
        route.namespace,
        route.name,
        transform,
        ctx,
        prepare=preparation(call),
        on_missing=on_missing,
        given=Given.OUTLINE if is_pure else Given.WHOLE,
    )
    return await written_response(call, written, ctx)


def stage_status(call: Call, media_type: str, ctx: RequestContext) -> Pending | None:
    """A patch of a pod's status and nothing else; None if the call may be about more."""
    request, route = call.request, call.route
    if media_type not in (STRATEGIC, MERGE_PATCH) or request.query or request.audited is not None:
        return None
    if ctx.size_bytes > podstatus.MAX_BYTES:  # to read it would keep others from their turns
        return None
    sent = Sent(request.body, media_type, partial(_patch_in, call.kind.resource, media_type, ctx))
    short = call.services.registry.short
    return short.pod_status(call.kind, route.namespace, route.name, sent, ctx)


def _patch_in(
    resource: Resource, media_type: str, ctx: RequestContext, sent: bytes
) -> Patch | None:
    """The patch in a body, as `Sent` reads it."""
    try:
        body, duplicates = _read(sent, media_type, ctx)
    except errors.ApiError:
        return None
    if duplicates or not isinstance(body, dict):
        return None
    is_plain = not any(text in sent for text in _DIRECTED)
    merge = partial(_patched, of_resource(resource), media_type, is_plain=is_plain)
    return Patch(body, merge, converting=media_type == STRATEGIC)


def patched_by(
    call: Call,
    media_type: str,
    ctx: RequestContext,
    target: Target | None = None,
    default: Callable[[JsonObject], None] | None = None,
) -> Transform:
    """What the patch in the call's body makes of an object of `target` (default: the call's kind).

    What it returns is decoded: whoever reads it finds the types of the schema, or the client gets
    a 422 on field ``patch``. The body is read when there is an object to patch: one that is
    missing is a 404 whatever was sent. Then BadRequest if the body is no patch. `default` is done
    to what is returned, in place.
    """
    target = target or of_resource(call.kind.resource)
    default = default or _unchanged
    # All else is going to be what it was: defaults for the spec of a pod would be made in vain.
    first = call.route.subresource_name == "status"

    def transform(old: JsonObject) -> JsonObject:
        body, duplicates = _read(call.request.body, media_type, ctx)
        patched = _patched(target, media_type, old, body)
        if media_type == STRATEGIC:
            kept = _untouched(patched, body)
            own = {name: value for name, value in patched.items() if name not in kept}
        else:
            kept, own = {}, _copied(patched)
        tree = _decoded(target, own, duplicates, ctx, _Shown(call, target, media_type, old))
        if first:
            default(tree)
        if kept:
            parts = {**tree, **kept}
            tree = {name: parts[name] for name in patched if name in parts} | parts
        check_name(tree, call.route.name)
        if not first:
            default(tree)
        return tree

    return transform


def _unchanged(_: JsonObject) -> None:
    """No defaults."""


def _read(sent: bytes, media_type: str, ctx: RequestContext) -> tuple[JsonValue, list[str]]:
    """The patch in a body and its duplicate fields, if the client wants to know them."""
    prefix = "" if media_type == STRATEGIC else "error decoding patch: "
    try:
        body = codecs.loads_patch(sent)
    except errors.BadRequest as error:
        why = error.message.removeprefix("couldn't get version/kind; json parse error: ")
        raise errors.BadRequest(f"{prefix}{why}") from None
    if media_type != JSON_PATCH and not isinstance(body, dict | None):
        raise errors.BadRequest(
            f"{prefix}json: cannot unmarshal {json_type_of(body)} into Go value of "
            "type map[string]interface {}"
        )
    if ctx.field_validation is FieldValidation.IGNORE or is_component(ctx.user):
        return body, []
    duplicates = codecs.duplicates_in(sent, body)
    if media_type == JSON_PATCH:
        duplicates = [f"json patch {problem}" for problem in duplicates]
    return {} if body is None else body, duplicates


def _patched(
    target: Target, media_type: str, old: JsonObject, body: JsonValue, *, is_plain: bool = False
) -> JsonValue:
    """What a patch makes of an object; `is_plain` as `strategic_merge` takes it."""
    if media_type == JSON_PATCH:
        return patches.json_patch(old, body)
    if media_type == MERGE_PATCH:
        return patches.merge_patch(old, body)
    definition = schemas.definition(target.group, target.version, target.kind)
    return patches.strategic_merge(old, body, definition, is_plain=is_plain)


def _untouched(patched: JsonObject, body: JsonObject) -> JsonObject:
    """The members of an object that a strategic patch says nothing about: they are as they were
    stored, so there is nothing to decode. A kubelet's patch of a status has nothing on the spec,
    which is the larger part of a pod."""
    if any(name.startswith("$") for name in body):
        return {}  # a directive, about the members beside it
    return {
        name: value
        for name, value in patched.items()
        if name not in body and name not in _ALWAYS_READ
    }


def _copied(patched: JsonValue) -> JsonObject:
    """What is to be decoded: that changes trees in place, and the result of a patch may share parts
    with the patch, by which it is shown. Of a strategic patch the result is decoded itself: it is
    shown as it was sent."""
    copied: JsonValue = codecs.loads_json(codecs.dumps_json(patched))
    if not isinstance(copied, dict):
        raise errors.Invalid(
            "the server rejected our request due to an error in our request", details={}
        )
    return copied


def touched_by(operations: JsonValue) -> JsonObject:
    """The members that a JSON patch looks into, as nested objects: list indexes are members."""
    touched: JsonObject = {}
    for operation in operations if isinstance(operations, list) else ():
        for pointer in (operation.get("path"), operation.get("from")):
            node = touched
            for name in str(pointer or "").split("/")[1:-1]:
                node = node.setdefault(name.replace("~1", "/").replace("~0", "~"), {})
    return touched


def in_go_order(tree: JsonValue, touched: JsonValue) -> JsonValue:
    """`tree` with the keys of the objects sorted that a patch has looked into: Go writes these
    from maps, and what nobody has looked into as it was. Into its own lists a merge patch looks."""
    if isinstance(tree, dict):
        inside = {name: [] for name in tree} if isinstance(touched, list) else touched
        if not isinstance(inside, dict):
            return tree
        return {name: in_go_order(tree[name], inside.get(name)) for name in sorted(tree)}
    if isinstance(tree, list) and isinstance(touched, dict):
        return [in_go_order(item, touched.get(str(at))) for at, item in enumerate(tree)]
    if isinstance(tree, list) and isinstance(touched, list):
        return [in_go_order(item, touched) for item in tree]
    return tree


class _Shown:
    """How errors show a patch: Go's form of the patch itself, or the JSON that it led to."""

    def __init__(self, call: Call, target: Target, media_type: str, old: JsonObject) -> None:
        self.converting = media_type == STRATEGIC
        self._sent = call.request.body
        self._target, self._media_type, self._old = target, media_type, old

    def _text(self) -> str:
        target, body = self._target, codecs.loads_patch(self._sent)
        if self.converting:
            return plain(body)
        struct = gostructs.struct_of(target.api_version, target.kind)
        old = self._old if struct is None else gojson.in_struct_order(self._old, struct)
        patched = _patched(target, self._media_type, old, body)
        touched = touched_by(body) if self._media_type == JSON_PATCH else body
        encoded: bytes = codecs.dumps_json(in_go_order(patched, touched))
        return encoded.decode()

    def refusal(self, why: str) -> errors.Invalid:
        shown = quoted(cut(self._text()))
        cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")
        error = errors.invalid("", "", "", [cause])
        error.details = {"causes": [cause.to_json()]}
        return error


def _decoded(
    target: Target,
    tree: JsonObject,
    duplicates: list[str],
    ctx: RequestContext,
    shown: _Shown,
) -> JsonObject:
    """The patched tree decoded; 422 on field ``patch`` where it does not decode."""
    kind = target.kind
    prefix = f'{kind} in version "{target.version}" cannot be handled as a {kind}: '
    try:
        # A strategic patch goes from a map into the Go type: what kind the map claims to be of is
        # never asked. Some clients patch a Scale and say that it is a Deployment.
        objectkinds.check(tree, b"", target.group, target.version, kind, any_kind=shown.converting)
        problems = (
            decoding.decode_kind(
                target.group,
                target.version,
                kind,
                tree,
                converting=shown.converting,
                dropped=ctx.dropped,
            )
            if target.custom is None
            else target.custom.decode(tree)
        )
    except errors.BadRequest as error:
        why = error.message.removeprefix(prefix)
        raise shown.refusal(
            why.partition(" cannot be handled as a ")[2].partition(": ")[2] or why
        ) from None
    problems = duplicates + problems
    if problems:
        if ctx.field_validation is FieldValidation.STRICT:
            raise shown.refusal(f"strict decoding error: {', '.join(problems)}")
        ctx.strict_problems(problems, "")
    if not isinstance(tree.get("metadata"), dict):
        tree["metadata"] = {}
    return tree
