"""Staging the most frequent writes by their short ways.

The general way of an update (`pipeline`) checks everything of every object. For a write of a known
sort, to an object that is known to be valid, most of that is known beforehand. Invariant: a short
way stages, to the byte, what the general way would, after the same admission; where that is not
certain it stages nothing, and the general way decides and words every refusal.
"""

from collections.abc import Callable, Mapping

import orjson

from kubeherd.cluster.api import errors, fields, kinds, validation
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission import Admission, AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.storedobjects import StoredObjects
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import deletion, fencing, tracking
from kubeherd.cluster.apiserver.write.binding import bound
from kubeherd.cluster.apiserver.write.chain import AdmissionChain
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import Action, DeletePlan
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.short import binding, podparts, podstatus, renewal
from kubeherd.cluster.apiserver.write.short.alike import statuses, statustexts
from kubeherd.cluster.apiserver.write.short.alike.statuses import Template
from kubeherd.cluster.apiserver.write.short.alike.statustexts import Cut
from kubeherd.cluster.apiserver.write.short.podparts import Parts
from kubeherd.cluster.apiserver.write.short.podstatus import Change, Patch, Sent
from kubeherd.cluster.apiserver.write.storedform import encoder, with_version_slot
from kubeherd.cluster.store.state import NODE_NAME_FIELD, Attrs, Record


class ShortWrites:
    """Stages short writes; one per process. None is returned where the general way must decide."""

    def __init__(self, objects: StoredObjects, admission: Admission, chain: AdmissionChain) -> None:
        self._objects = objects
        self._store = store = objects.store
        self._admission = admission
        self._chain = chain
        self._alike = statuses.Templates()
        self.began_at = store.revision
        """Newer objects were stored by this process, and so were validated by it."""

    def renewal(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        content_type: str,
        body: bytes,
        ctx: RequestContext,
    ) -> Pending | None:
        """Stage the update of a Lease if it changes nothing but the renewTime."""
        record = None if ctx.fence else self._known(kind, namespace, name, ctx)
        if record is None:
            return None
        encode = renewal.renewed(kind, record.json, content_type, body, ctx)
        if encode is None:
            return None
        if self._admission.looks_at(Operation.UPDATE, kind.resource, ctx.user):
            # without the objects, because no plugin looks into a Lease
            request = AdmissionRequest(Operation.UPDATE, kind.resource, namespace, name, ctx.user)
            if not self._admits(request):
                return None
        return Pending(Written(b""), self._store.replace(record, encode))

    def late_renewal(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        content_type: str,
        body: bytes,
        ctx: RequestContext,
    ) -> ApiError | None:
        """The refusal of a renewal that is based on an old version of its Lease; else None.

        Clients that do not wait for answers send many of these while the server is busy."""
        record = None if ctx.fence else self._known(kind, namespace, name, ctx)
        if record is None or not renewal.is_late(kind, record.json, content_type, body):
            return None
        request = AdmissionRequest(Operation.UPDATE, kind.resource, namespace, name, ctx.user)
        try:
            self._admission.mutate(request)
        except ApiError:
            return None
        return errors.conflict(kind.resource, name, errors.MODIFIED)

    def pod_status(
        self, kind: ServedKind, namespace: str, name: str, sent: Sent, ctx: RequestContext
    ) -> Pending | None:
        """Stage a patch, of `podstatus.MAX_BYTES` at most, if it changes only a pod's status."""
        record = None if ctx.fence else self._known(kind, namespace, name, ctx)
        if record is None or record.size > podstatus.MAX_BYTES:
            return None
        cut = None
        if not podstatus.needs_spec(record.json, record.attrs.fields):
            cut = statustexts.cut(record.json, sent.body, sent.media_type)
        template = None if cut is None else self._alike.of(cut)
        if cut is not None and template is not None:
            return self._put_alike(kind, record, cut, template, ctx)
        change = self._change(kind, record, record.json, sent.read(sent.body), ctx)
        if change is None:
            return None
        if cut is not None and self._alike.is_second(cut):
            self._learn(kind, record, cut, sent, change, ctx)
        old, new = change.old, change.new
        if new == old:
            return Pending(Written(record.json), self._store.staged(*record.place))
        parts = change.parts
        return self._put_pod(kind, record, parts, new, parts.spec, record.attrs.fields)

    def _put_alike(
        self, kind: ServedKind, record: Record, cut: Cut, template: Template, ctx: RequestContext
    ) -> Pending | None:
        """Stage a pod with the status that comes of a template."""
        attrs, texts = record.attrs, cut.texts
        if self._admission.looks_at(Operation.UPDATE, kind.resource, ctx.user, ctx.subresource):
            spec = {"nodeName": attrs.fields.get(NODE_NAME_FIELD, "")}
            request = AdmissionRequest(
                Operation.UPDATE, kind.resource, record.namespace, record.name, ctx.user,
                ctx.subresource, {**template.new, "spec": spec}, {**template.old, "spec": spec},
            )  # fmt: skip
            if not self._admits(request):
                return None
        if template.status is None:
            return Pending(Written(record.json), self._store.staged(*record.place))
        selected = fields.replaced(attrs.fields, template.selectable(texts))
        encode = cut.writer(template.status.made(texts))
        staged = self._store.replace(record, encode, Attrs(attrs.labels, selected))
        return Pending(Written(b""), staged)

    def _learn(
        self,
        kind: ServedKind,
        record: Record,
        cut: Cut,
        sent: Sent,
        change: Change,
        ctx: RequestContext,
    ) -> None:
        """Make a template from a patch that led to this change, and keep it if there can be one."""
        marked = statuses.marked(cut)
        if marked is None:
            return
        again = self._change(kind, record, marked.stored, sent.read(marked.body), ctx)
        if again is None:
            return
        template = statuses.template(kind, cut, change, again)
        if template is not None:
            self._alike.keep(cut.key, template)

    def binding(
        self, kind: ServedKind, namespace: str, name: str, sent: JsonObject, ctx: RequestContext
    ) -> Pending | None:
        """Stage the binding of a pod to a node by a component of the cluster."""
        record = self._known(kind, namespace, name, ctx)
        if record is None or not tracking.is_component(ctx.user):
            return None
        parts = podparts.parts(kind, record.json)
        old = None if parts is None else binding.outline(parts)
        if parts is None or old is None:
            return None
        new: JsonObject = {key: {**value} for key, value in old.items()}
        try:
            asked = AdmissionRequest(
                Operation.CREATE, kind.resource, namespace, name, ctx.user, "binding", sent,
                kind=("", "v1", "Binding"),
            )  # fmt: skip
            self._admission.mutate(asked)
            if "labels" in sent["metadata"]:
                return None
            new = bound(new, sent, ctx.timestamp)
            changed = AdmissionRequest(
                Operation.UPDATE, kind.resource, namespace, name, ctx.user, "binding", new, old
            )
            self._admission.mutate(changed)
            self._admission.validate(changed)
            fencing.check(self._objects, kind.resource, name, ctx.fence)
        except ApiError:
            return None
        node = new["spec"]["nodeName"]
        on_node = {**record.attrs.fields, NODE_NAME_FIELD: node}
        spec = binding.spec_on(node, parts.spec)
        return self._put_pod(kind, record, parts, new, spec, on_node)

    def parts_to_delete(
        self, kind: ServedKind, record: Record, ctx: RequestContext
    ) -> Parts | None:
        """The parts of a pod that is to be deleted; None if all of it must be decoded."""
        if kind.resource is not kinds.PODS or not self._may(record, ctx):
            return None
        return podparts.parts(kind, record.json)

    def delete(self, kind: ServedKind, record: Record, plan: DeletePlan, spec: bytes) -> Pending:
        """Stage the planned deletion of a pod; `spec` is the JSON of its spec."""
        encode = self._encoder(kind, record, plan.tree, spec)
        if plan.action is Action.MARK:
            staged = self._store.replace(record, encode, record.attrs)
            return Pending(Written(b""), staged)
        with self._store.together():
            if plan.action is Action.MARK_AND_REMOVE:
                self._store.replace(record, encode, record.attrs)
            staged = self._store.delete(*record.place, encode)
        return Pending(Written(b"", removed=True), staged)

    def _change(
        self,
        kind: ServedKind,
        record: Record,
        stored: bytes,
        patch: Patch | None,
        ctx: RequestContext,
    ) -> Change | None:
        """What a patch makes of a pod, if `stored` was its JSON; None if it must not be staged."""
        if patch is None:
            return None
        try:
            change = podstatus.patched(kind, stored, record.attrs.fields, patch)
            if change is None or not self._is_good(kind, record, change, ctx):
                return None
        except ApiError:
            return None
        return change

    def _is_good(
        self, kind: ServedKind, record: Record, change: Change, ctx: RequestContext
    ) -> bool:
        """Do to a changed pod what every update does, except for checks of its metadata, which were
        valid before. ApiError, or False, if the pod must not be stored."""
        resource, old, new = kind.resource, change.old, change.new
        request = AdmissionRequest(
            Operation.UPDATE, resource, record.namespace, record.name, ctx.user, ctx.subresource,
            new, old,
        )  # fmt: skip
        if "managedFields" in old["metadata"]:
            tracking.record(kind, new, old, ctx)
        self._admission.mutate(request)
        kind.strategy.prepare_status(new, old, ctx)
        if validation.update_of_part(resource, new, old, ctx.subresource):
            return False
        self._admission.validate(request)
        return not deletion.finished(resource, new)

    def _admits(self, request: AdmissionRequest) -> bool:
        """Whether no plugin refuses a write of which nothing is validated in between."""
        try:
            self._admission.mutate(request)
            self._admission.validate(request)
        except ApiError:
            return False
        return True

    def _known(
        self, kind: ServedKind, namespace: str, name: str, ctx: RequestContext
    ) -> Record | None:
        """The newest version of an object, if there may be a short way for it."""
        record = self._store.head(kind.key, namespace, name)
        return record if record is not None and self._may(record, ctx) else None

    def _may(self, record: Record, ctx: RequestContext) -> bool:
        """Whether an object is known to be valid, and no policy, webhook or quota has a say."""
        if self._store.is_shared or ctx.dry_run or not self._chain.is_own:
            return False
        return record.revision > self.began_at

    def _put_pod(
        self,
        kind: ServedKind,
        record: Record,
        parts: Parts,
        new: JsonObject,
        spec: bytes,
        selectable: Mapping[str, str],
    ) -> Pending:
        """Stage a pod, with the metadata and status of `new` and the JSON of its spec, in place of
        one with these parts. `selectable`: its selectable fields, but for those of its status."""
        if new["metadata"] == parts.metadata and record.size <= podstatus.MAX_BYTES:
            encode = podparts.spliced(parts.head, spec, new["status"])
        else:
            encode = self._encoder(kind, record, new, spec)
        selected = fields.replaced(selectable, fields.of_status(kind.storage, new))
        attrs = Attrs(record.attrs.labels, selected)
        return Pending(Written(b""), self._store.replace(record, encode, attrs))

    @staticmethod
    def _encoder(
        kind: ServedKind, record: Record, new: JsonObject, spec: bytes
    ) -> Callable[[int], bytes]:
        """What encodes a pod, with the metadata and status of `new` and the JSON of its spec, for a
        revision. Unless it may be too large all but the revision is encoded at once."""
        stored = kind.stored({**new, "spec": orjson.Fragment(spec)})
        stored["metadata"] = with_version_slot(stored["metadata"])
        if record.size > podstatus.MAX_BYTES:
            return encoder(stored)
        del stored["spec"], stored["status"]
        return podparts.spliced(orjson.dumps(stored)[:-1], spec, new["status"])
