"""PATCH: JSON, merge and strategic merge patches, and server-side apply.

Source: spec api-machinery, sections 10 and 11. A patch is applied to the stored object in the
served version; the result goes the way of an update. Because nothing awaits between reading and
staging, concurrent writers cannot make a patch conflict.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kubeherd.cluster.api import defaults, errors, patches
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import cut, plain, quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import apply
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.gotypes import json_type_of
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.handlers.writes import check_name, preparation, written_response
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext

if TYPE_CHECKING:
    from kubeherd.cluster.api.customresources.kind import CustomKind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY)
_WITHOUT_STRATEGIC = (JSON_PATCH, MERGE_PATCH, APPLY)
"""What custom resources take: a strategic patch needs to know how the lists of a kind merge."""
_UNSUPPORTED = "the body of the request was in an unknown format - accepted media types include: "

Transform: TypeAlias = Callable[[JsonObject], JsonObject]


@dataclass(frozen=True, slots=True)
class Target:
    """The kind that a patch is for: the resource's, or that of a subresource such as Scale."""

    group: str
    version: str
    kind: str
    custom: "CustomKind | None" = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def of_resource(resource: Resource) -> Target:
    """The target of a patch of the object itself."""
    return Target(resource.group, resource.version, resource.kind, resource.custom)


async def patch(call: Call) -> ApiResponse:
    """200 and the patched object; an apply may create it (201)."""
    media_type = codecs.media_type(call.request.headers.get("content-type", ""))
    accepted = _ACCEPTED if call.kind.resource.custom is None else _WITHOUT_STRATEGIC
    if media_type not in accepted:
        raise errors.UnsupportedMediaType(_UNSUPPORTED + ", ".join(accepted))
    _check_options(call, media_type == APPLY)
    ctx = call.context()
    on_missing = None
    if media_type == APPLY:
        applying = await call.on_body(lambda: _Apply(call, ctx))
        transform: Transform = applying.update
        on_missing = applying.create
    else:
        transform = _defaulted(call.kind.resource, await patched_by(call, media_type, ctx))
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
    return await written_response(call, written, ctx)


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


def _defaulted(resource: Resource, change: Transform) -> Transform:
    def transform(old: JsonObject) -> JsonObject:
        tree = change(old)
        defaults.apply(resource, tree)
        return tree

    return transform


async def patched_by(
    call: Call, media_type: str, ctx: RequestContext, target: Target | None = None
) -> Transform:
    """What the patch in the call's body makes of an object of `target` (default: the call's kind).

    What it returns is decoded: whoever reads it finds the types of the schema, or the client gets
    a 422 on field ``patch``. BadRequest if the body is no patch.
    """
    target = target or of_resource(call.kind.resource)
    return await call.on_body(lambda: _transform(call, media_type, ctx, target))


def _transform(call: Call, media_type: str, ctx: RequestContext, target: Target) -> Transform:
    try:
        body = codecs.loads_patch(call.request.body)
    except errors.BadRequest as error:
        why = error.message.removeprefix("couldn't get version/kind; json parse error: ")
        raise errors.BadRequest(f"error decoding patch: {why}") from None
    if media_type != JSON_PATCH and not isinstance(body, dict):
        raise errors.BadRequest(
            f"error decoding patch: json: cannot unmarshal {json_type_of(body)} into Go value of "
            "type map[string]interface {}"
        )

    def transform(old: JsonObject) -> JsonObject:
        patched = _patched(target, media_type, old, body)
        shown = _Shown(media_type, body, patched)
        tree = _decoded(target, patched, ctx, shown)
        check_name(tree, call.route.name)
        return tree

    return transform


def _patched(target: Target, media_type: str, old: JsonObject, body: JsonValue) -> JsonObject:
    if media_type == JSON_PATCH:
        patched = patches.json_patch(old, body)
    elif media_type == MERGE_PATCH:
        patched = patches.merge_patch(old, body)
    else:
        patched = patches.strategic_merge(
            old, body, schemas.definition(target.group, target.version, target.kind)
        )
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
        shown = quoted(cut(self._text()))
        cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")
        error = errors.invalid("", "", "", [cause])
        error.details = {"causes": [cause.to_json()]}
        return error


def _decoded(target: Target, tree: JsonObject, ctx: RequestContext, shown: _Shown) -> JsonObject:
    """The patched tree decoded; 422 on field ``patch`` where it does not decode."""
    if tree.get("kind", target.kind) != target.kind or (
        tree.get("apiVersion", target.api_version) != target.api_version
    ):
        raise errors.BadRequest(
            f"the API version in the data ({tree.get('apiVersion')}) does not match the expected "
            f"API version ({target.api_version})"
        )
    try:
        problems = (
            decoding.decode_kind(target.group, target.version, target.kind, tree)
            if target.custom is None
            else target.custom.decode(tree)
        )
    except errors.BadRequest as error:
        kind = target.kind
        prefix = f'{kind} in version "{target.version}" cannot be handled as a {kind}: '
        raise shown.refusal(error.message.removeprefix(prefix)) from None
    if problems:
        if ctx.field_validation is FieldValidation.STRICT:
            raise shown.refusal(f"strict decoding error: {', '.join(problems)}")
        ctx.strict_problems(problems, "")
    if not isinstance(tree.get("metadata"), dict):
        tree["metadata"] = {}
    return tree


class _Apply:
    """Server-side apply of the call's body."""

    def __init__(self, call: Call, ctx: RequestContext) -> None:
        self._call = call
        self._ctx = ctx
        self._force = parameters.boolean(call.request.query, "force")
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
        self._call.check_create()
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
