"""Server-side apply: PATCH of an object whose fields are owned by who applies them.

Source: spec api-machinery, section 11. The rules are `cluster.api.managedfields.apply`'s.
"""

from typing import TYPE_CHECKING

from kubeherd.cluster.api import defaults, errors
from kubeherd.cluster.api.goformat import plain
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.managedfields import apply, typed
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.handlers.patchtypes import Target, of_resource
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.handlers.writes import check_name
from kubeherd.cluster.apiserver.write.context import FieldValidation, RequestContext

if TYPE_CHECKING:
    pass


class Applying:
    """Server-side apply of the call's body, an object of `target` (default: the call's kind)."""

    def __init__(self, call: Call, ctx: RequestContext, target: Target | None = None) -> None:
        self._call = call
        self._ctx = ctx
        self._force = parameters.boolean(call.request.query, "force")
        ctx.applied = True
        find = ctx.field_validation is not FieldValidation.IGNORE
        try:
            body = codecs.decode_body(codecs.YAML, call.request.body, find_duplicates=find)
        except errors.BadRequest as error:
            why = f"error converting YAML to JSON: {error.message}"
            raise errors.BadRequest(f"error decoding YAML: {why}") from None
        resource = call.kind.resource
        target = target or of_resource(resource)
        tree = body.tree
        kind = tree.get("kind", "")
        if kind != target.kind:
            raise errors.BadRequest(
                f"failed to create typed patch object: kind {plain(kind)} does not match "
                f"{target.kind}"
            )
        if tree.get("apiVersion") == target.api_version:
            tree["apiVersion"], tree["kind"] = resource.api_version, resource.kind
        meta = tree.setdefault("metadata", {})
        if isinstance(meta, dict) and isinstance(meta.setdefault("name", call.route.name), str):
            check_name(tree, call.route.name)
        self._applied = tree
        self._duplicates = body.strict_problems

    def update(self, old: JsonObject) -> JsonObject:
        return self._merge(old)

    def create(self) -> JsonObject:
        self._call.check_create()
        made = self._merge(None)
        if uid := made["metadata"].get("uid"):
            # who names a uid means an object that he has seen; upstream's words
            why = f"the provided object specified uid {uid}, and no existing object was found"
            resource, name = self._call.kind.resource, self._call.route.name
            raise errors.conflict(resource, name, f"uid mismatch: {why}")
        return made

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
        try:
            decoding.decode(resource, copied, converting=True, dropped=self._ctx.dropped)
        except errors.BadRequest as error:
            raise self._unconvertible(error) from None
        if self._duplicates:
            self._tell_duplicates()
        defaults.apply(resource, copied)
        return copied

    def _unconvertible(self, error: errors.BadRequest) -> errors.PlainError:
        """What fits the schema but cannot be read into the type: base64, quantities, times."""
        resource = self._call.kind.resource
        gvk = f"{resource.group}/{resource.version}, Kind={resource.kind}"
        why = error.message.partition(" cannot be handled as a ")[2].partition(": ")[2]
        return errors.PlainError(
            f"failed to convert new object ({typed.named(resource, self._applied)}) to proper "
            f"version: unable to convert unstructured object to {gvk}: {why}"
        )

    def _tell_duplicates(self) -> None:
        problem = f"error converting YAML to JSON: {self._duplicates[0]}"
        if self._ctx.field_validation is FieldValidation.STRICT:
            raise errors.BadRequest(f"error strict decoding YAML: {problem}")
        self._ctx.strict_problems([problem], "")
