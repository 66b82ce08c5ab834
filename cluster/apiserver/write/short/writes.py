"""Short writes: the most frequent ones, told from all others and done with less.

The general way of an update (`pipeline`) asks everything of every object. Where it is known what
kind of write came and that the stored object was valid, most answers are known, too. Invariant: a
short way stages what the general way would, to the byte, with the same admission; where that is not
certain it stages nothing, and the general way decides, and words every refusal.
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
    """Stages them; one per process. None is returned where the general way is to decide."""

    def __init__(self, objects: StoredObjects, admission: Admission, chain: AdmissionChain) -> None:
        self._objects = objects
        self._store = store = objects.store
        self._admission = admission
        self._chain = chain
        self._alike = statuses.Templates()
        self.began_at = store.revision
        """What is newer was written here, so it was valid when it was."""

    def renewal(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        content_type: str,
        body: bytes,
        ctx: RequestContext,
    ) -> Pending | None:
        """A Lease of which only the renewTime changes."""
        record = None if ctx.fence else self._known(kind, namespace, name, ctx)
        if record is None:
            return None
        encode = renewal.renewed(kind, record.json, content_type, body, ctx)
        if encode is None:
            return None
        if self._admission.looks_at(Operation.UPDATE, kind.resource, ctx.user):
            # No trees: no plugin looks into a Lease.
            request = AdmissionRequest(Operation.UPDATE, kind.resource, namespace, name, ctx.user)
            try:
                self._admission.mutate(request)
                self._admission.validate(request)
            except ApiError:
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
        """What the renewal of a Lease is refused with that rests on an earlier version of it.

        Clients that hurry send these, and in numbers while much else is to be done."""
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
        """A patch of a pod's status and nothing else, of no more than `podstatus.MAX_BYTES`."""
        record = None if ctx.fence else self._known(kind, namespace, name, ctx)
        if record is None or record.size > podstatus.MAX_BYTES:
            return None
        cut = None
        if podstatus.restarts(record.attrs.fields):  # then the spec has no say
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
        """A pod with the status that a template makes."""
        attrs, texts = record.attrs, cut.texts
        if self._admission.looks_at(Operation.UPDATE, kind.resource, ctx.user, ctx.subresource):
            spec = {"nodeName": attrs.fields.get(NODE_NAME_FIELD, "")}
            request = AdmissionRequest(
                Operation.UPDATE, kind.resource, record.namespace, record.name, ctx.user,
                ctx.subresource, {**template.new, "spec": spec}, {**template.old, "spec": spec},
            )  # fmt: skip
            try:
                self._admission.mutate(request)
                self._admission.validate(request)
            except ApiError:
                return None
        if template.status is None:
            return Pending(Written(record.json), self._store.staged(*record.place))
        selected = fields.replaced(attrs.fields, template.selectable(texts))
        encode = cut.writer(template.status.made(texts))
        staged = self._store.put(*record.place, encode, Attrs(attrs.labels, selected))
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
        """Keep a template, if there can be one, of what was done."""
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
        """A pod that a part of the cluster binds to a node."""
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
        """A pod that is to be deleted, of which not all is looked at."""
        if kind.resource is not kinds.PODS or not self._may(record, ctx):
            return None
        return podparts.parts(kind, record.json)

    def delete(self, kind: ServedKind, record: Record, plan: DeletePlan, spec: bytes) -> Pending:
        """Carry out what is planned for a pod with this JSON of its spec: to mark it, or to let it
        go."""
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
        """What a patch makes of a pod with the JSON `stored`, in the place of a record."""
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
        """Do to a changed pod what every update does, but for what concerns its metadata: they are
        what was valid before. ApiError, or False, if it is not to be stored."""
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

    def _known(
        self, kind: ServedKind, namespace: str, name: str, ctx: RequestContext
    ) -> Record | None:
        """The object, if there is a short way for it."""
        record = self._store.head(kind.key, namespace, name)
        return record if record is not None and self._may(record, ctx) else None

    def _may(self, record: Record, ctx: RequestContext) -> bool:
        """Whether an object was valid when it was stored, and nobody is to be asked about it."""
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
        """A pod with the metadata and the status of `new` and the JSON of its spec, instead of one
        with these parts; `selectable`: its fields with the status of before."""
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
        """What writes a pod with the metadata and the status of `new`, and the JSON of its spec,
        instead of `record`; once for all revisions unless it may be too large."""
        stored = kind.stored({**new, "spec": orjson.Fragment(spec)})
        stored["metadata"] = with_version_slot(stored["metadata"])
        if record.size > podstatus.MAX_BYTES:
            return encoder(stored)
        del stored["spec"], stored["status"]
        return podparts.spliced(orjson.dumps(stored)[:-1], spec, new["status"])
