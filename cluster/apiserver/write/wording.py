"""The causes against a sent object, worded with the empty lists and maps that it has.

Decoding drops them, and objects are judged without: Kubernetes, too, takes an empty list for an
absent one when it compares. But it shows them. So an object that is refused is judged once more
with them; that changes the words, and refuses nothing else but an empty list where none may be.
"""

from collections.abc import Callable

from kubeherd.cluster.api import validation
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.apiserver.write.context import RequestContext

_FORBIDDEN = "FieldValueForbidden"


def of_create(resource: Resource, tree: JsonObject, ctx: RequestContext) -> list[Cause]:
    """Why a new object is refused."""
    causes = validation.create(resource, tree)
    if not causes or not ctx.dropped:
        return causes
    return _worded(causes, ctx, lambda: validation.create(resource, tree))


def of_update(
    resource: Resource, new: JsonObject, old: JsonObject, ctx: RequestContext
) -> list[Cause]:
    """Why `new` may not replace `old`."""
    causes = validation.update(resource, new, old, ctx.subresource)
    if not causes or not ctx.dropped:
        return causes
    return _worded(causes, ctx, lambda: validation.update(resource, new, old, ctx.subresource))


def _worded(
    causes: list[Cause], ctx: RequestContext, validate: Callable[[], list[Cause]]
) -> list[Cause]:
    known = {(cause.field, cause.reason) for cause in causes}
    empty = {name for _, name, _ in ctx.dropped}
    return [
        cause
        for cause in decoding.with_dropped(ctx.dropped, validate)
        if (cause.field, cause.reason) in known
        or (cause.reason == _FORBIDDEN and cause.field.rpartition(".")[2] in empty)
    ]
