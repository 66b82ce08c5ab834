"""PATCH: JSON, merge and strategic merge patches, and server-side apply.

Source: spec api-machinery, sections 10 and 11. A patch is applied to the stored object in the
served version; the result goes the way of an update. Because nothing awaits between reading and
staging, concurrent writers cannot make a patch conflict.
"""

from collections.abc import Callable
from typing import TypeAlias

from kubeherd.cluster.api import defaults, errors, patches
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.managedfields import apply
from kubeherd.cluster.api.schemas.gotypes import json_type_of
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.api.validation.goformat import plain, quoted
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.handlers.writes import check_name, preparation, written_response
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_UNSUPPORTED = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC}, {APPLY}"
)

Transform: TypeAlias = Callable[[JsonObject], JsonObject]


async def patch(call: Call) -> ApiResponse:
    """200 and the patched object; an apply may create it (201)."""
    media_type = codecs.media_type(call.request.headers.get("content-type", ""))
    if media_type not in (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY):
        raise errors.UnsupportedMediaType(_UNSUPPORTED)
    _check_options(call, media_type == APPLY)
    ctx = call.context()
    on_missing = None
    if media_type == APPLY:
        applying = _Apply(call, ctx)
        transform: Transform = applying.update
        on_missing = applying.create
    else:
        transform = _transform(call, media_type, ctx)
    route = call.route
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
    )
    return written_response(call, written, ctx)


def _check_options(call: Call, applying: bool) -> None:
    query = call.request.query
    if applying and not query.get("fieldManager"):
        cause = Cause(
            "FieldValueRequired",
            "Required value: is required for apply patch",
            "fieldManager",
        )
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])
    if not applying and "force" in query:
        cause = Cause(
            "FieldValueForbidden",
            "Forbidden: may not be specified for non-apply patch",
            "force",
        )
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])


def _transform(call: Call, media_type: str, ctx: RequestContext) -> Transform:
    try:
        body = codecs.loads_json(call.request.body)
    except errors.BadRequest as error:
        why = error.message.removeprefix("couldn't get version/kind; json parse error: ")
        raise errors.BadRequest(f"error decoding patch: {why}") from None
    if media_type != JSON_PATCH and not isinstance(body, dict):
        raise errors.BadRequest(
            f"error decoding patch: json: cannot unmarshal {json_type_of(body)} into Go value of "
            "type map[string]interface {}"
        )

    def transform(old: JsonObject) -> JsonObject:
        patched = _patched(call, media_type, old, body)
        shown = _Shown(media_type, body, patched)
        tree = _decoded(call, patched, ctx, shown)
        check_name(tree, call.route.name)
        return tree

    return transform


def _patched(call: Call, media_type: str, old: JsonObject, body: JsonValue) -> JsonObject:
    if media_type == JSON_PATCH:
        patched = patches.json_patch(old, body)
    elif media_type == MERGE_PATCH:
        patched = patches.merge_patch(old, body)
    else:
        patched = patches.strategic_merge(old, body, call.kind.definition)
    # Decoding changes trees in place; the result may share parts with the patch.
    copied: JsonValue = codecs.loads_json(codecs.dumps_json(patched))
    if not isinstance(copied, dict):
        raise errors.Invalid(
            "the server rejected our request due to an error in our request", details={}
        )
    return copied


class _Shown:
    """How errors show a patch: Go's form of the patch itself, or the JSON that it led to."""

    def __init__(self, media_type: str, body: JsonValue, patched: JsonObject) -> None:
        if media_type == STRATEGIC:
            self._text: Callable[[], str] = lambda: plain(body)
        else:
            encoded = codecs.dumps_json(patched)
            self._text = encoded.decode

    def refusal(self, why: str) -> errors.Invalid:
        cause = Cause("FieldValueInvalid", f"Invalid value: {quoted(self._text())}: {why}", "patch")
        error = errors.invalid("", "", "", [cause])
        error.details = {"causes": [cause.to_json()]}
        return error


def _decoded(call: Call, tree: JsonObject, ctx: RequestContext, shown: _Shown) -> JsonObject:
    """The patched tree decoded and defaulted; 422 on field ``patch`` where it does not decode."""
    resource = call.kind.resource
    if tree.get("kind", resource.kind) != resource.kind or (
        tree.get("apiVersion", resource.api_version) != resource.api_version
    ):
        raise errors.BadRequest(
            f"the API version in the data ({tree.get('apiVersion')}) does not match the expected "
            f"API version ({resource.api_version})"
        )
    try:
        problems = decoding.decode(resource, tree)
    except errors.BadRequest as error:
        kind = resource.kind
        prefix = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: '
        raise shown.refusal(error.message.removeprefix(prefix)) from None
    if problems:
        if ctx.field_validation is FieldValidation.STRICT:
            raise shown.refusal(f"strict decoding error: {', '.join(problems)}")
        ctx.strict_problems(problems, "")
    if not isinstance(tree.get("metadata"), dict):
        tree["metadata"] = {}
    defaults.apply(resource, tree)
    return tree


class _Apply:
    """Server-side apply of the call's body."""

    def __init__(self, call: Call, ctx: RequestContext) -> None:
        self._call = call
        self._ctx = ctx
        self._force = call.request.query.get("force", "").lower() in ("1", "t", "true")
        ctx.applied = True
        find = ctx.field_validation is not FieldValidation.IGNORE
        body = codecs.decode_body(codecs.YAML, call.request.body, find_duplicates=find)
        resource = call.kind.resource
        tree = body.tree
        kind = tree.get("kind", "")
        if kind != resource.kind:
            raise errors.BadRequest(
                f"failed to create typed patch object: kind {plain(kind)} does not match "
                f"{resource.kind}"
            )
        problems = body.strict_problems + decoding.decode(resource, tree)
        ctx.strict_problems(
            problems,
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f"{resource.kind}: ",
        )
        tree.setdefault("metadata", {}).setdefault("name", call.route.name)
        check_name(tree, call.route.name)
        self._applied = tree

    def update(self, old: JsonObject) -> JsonObject:
        return self._merge(old)

    def create(self) -> JsonObject:
        return self._merge(None)

    def _merge(self, old: JsonObject | None) -> JsonObject:
        resource = self._call.kind.resource
        result = apply.apply(
            resource,
            old,
            self._applied,
            manager=self._ctx.field_manager,
            time=self._ctx.timestamp,
            force=self._force,
            subresource=self._ctx.subresource,
        )
        copied: JsonObject = codecs.loads_json(codecs.dumps_json(result.tree))
        decoding.decode(resource, copied)
        defaults.apply(resource, copied)
        return copied
