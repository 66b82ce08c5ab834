"""Create, update and delete of objects: the pipeline between a decoded request and the store.

Source: spec api-machinery, sections 4 to 6, whose order of steps this module follows: defaulting
has been done, then system metadata, field ownership, mutating admission, name, strategy,
validation, validating admission, store. Invariants: the steps between `Store.head` and
`Store.put` never await, so no other write can come between (the event loop is the serialisation
point); on any refusal nothing is stored; an object that would not change is not written.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kubeherd.cluster.api import errors, fields, names, validation
from kubeherd.cluster.api.errors import ApiError, Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.access.authz.rbac import GROUP as RBAC_GROUP
from kubeherd.cluster.apiserver.admission import Admission, AdmissionRequest, Operation
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import deletion, tracking
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import Action, DeleteOptions
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.state import NODE_INDEXED, Attrs, Record
from kubeherd.cluster.store.store import Staged, Store

_WIPED = (
    "creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
)  # fmt: skip
_GENERATE_TRIES = 8
_FORCED = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "uid")


class Prepare(Protocol):
    """How a write to one (sub)resource combines the sent object with the stored one, in place."""

    def __call__(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None: ...


@dataclass(slots=True)
class Written:
    """The result of a write: `json` is the object in its stored form."""

    json: bytes
    created: bool = False
    removed: bool = False
    tree: JsonObject | None = None


class Registry:
    """The write side of the API server; one per process."""

    def __init__(self, store: Store, clock: Clock, rng: Rng) -> None:
        self.store = store
        self.on_rbac_change: Callable[[], None] = lambda: None
        self._clock = clock
        self._rng = rng
        self.admission = Admission(self)

    # --- Lookup, for admission and authorisation ---

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        record = self.store.head(resource.group_resource, namespace, name)
        return None if record is None else record.load()

    def list(self, resource: Resource, namespace: str = "") -> Iterable[JsonObject]:
        for record in self.store.list(resource.group_resource, namespace):
            yield record.load()

    # --- create ---

    async def create(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> Written:
        """Store a new object from a decoded, defaulted tree in the served version."""
        try:
            pending = self.stage_create(kind, namespace, tree, ctx)
        except ApiError:
            await self._settled(kind, namespace, (tree.get("metadata") or {}).get("name", ""))
            raise
        return await self._commit(kind, pending)

    def stage_create(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> "Pending":
        """The synchronous part of `create`."""
        resource = kind.resource
        meta = tree.setdefault("metadata", {})
        _check_namespace(resource, meta, namespace)
        if meta.pop("resourceVersion", ""):
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        for key in _WIPED:
            meta.pop(key, None)
        kind.strategy.normalise(tree)
        tracking.record(kind, tree, None, ctx)
        meta["creationTimestamp"] = ctx.timestamp
        meta["uid"] = self._rng.uuid4()
        request = AdmissionRequest(
            Operation.CREATE, resource, namespace, meta.get("name", ""), ctx.user, new=tree
        )
        self.admission.mutate(request)
        self._name(kind, namespace, meta)
        request.name = name = meta.get("name", "")
        kind.strategy.prepare_create(tree, ctx)
        _refuse_invalid(resource, name, validation.create(resource, tree))
        self.admission.validate(request)
        existing = self.store.head(kind.key, namespace, name)
        if existing is not None:
            raise _exists(resource, name, existing)
        return self._put(kind, namespace, name, tree, ctx, created=True)

    def _name(self, kind: ServedKind, namespace: str, meta: JsonObject) -> None:
        """Fill in a generated name; 409 if eight of them are taken."""
        base = meta.get("generateName", "")
        if meta.get("name") or not base:
            return
        name = ""
        for _ in range(_GENERATE_TRIES):
            name = names.generate(base, self._rng.choice)
            if self.store.head(kind.key, namespace, name) is None:
                meta["name"] = name
                return
        error = errors.already_exists(kind.resource, name)
        error.message += ", the server was not able to generate a unique name for the object"
        error.details = {**(error.details or {}), "retryAfterSeconds": 1}
        raise error

    # --- update ---

    async def update(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        transform: Callable[[JsonObject], JsonObject],
        ctx: RequestContext,
        *,
        prepare: Prepare | None = None,
        on_missing: Callable[[], JsonObject] | None = None,
        conditional: bool = False,
    ) -> Written:
        """Change an object. `transform` gets a fresh tree of it (served version) and returns the
        wanted one, decoded and defaulted; `prepare` is the strategy's for this subresource
        (default: the main resource's). An absent object is created from `on_missing`, else 404.
        `conditional`: an object without resourceVersion is refused for kinds that demand one.
        """
        record = self.store.head(kind.key, namespace, name)
        if record is None:
            if on_missing is None:
                await self._settled(kind, namespace, name)
                raise errors.not_found(kind.resource, name)
            return await self.create(kind, namespace, on_missing(), ctx)
        old = kind.served(record.load())
        try:
            new = transform(kind.served(record.load()))
            pending = self._stage_update(
                kind, record, old, new, ctx, prepare or kind.strategy.prepare_update, conditional
            )
        except ApiError:
            await self._settled(kind, namespace, name)
            raise
        return await self._commit(kind, pending)

    def _stage_update(
        self,
        kind: ServedKind,
        record: Record,
        old: JsonObject,
        new: JsonObject,
        ctx: RequestContext,
        prepare: Prepare,
        conditional: bool,
    ) -> "Pending":
        resource, namespace, name = kind.resource, record.namespace, record.name
        meta, old_meta = new.setdefault("metadata", {}), old["metadata"]
        _check_namespace(resource, meta, namespace)
        kind.strategy.normalise(new)
        tracking.record(kind, new, old, ctx)
        self.admission.mutate(request := AdmissionRequest(
            Operation.UPDATE, resource, namespace, name, ctx.user, ctx.subresource, new, old
        ))  # fmt: skip
        _check_version(kind, meta, old_meta, conditional)
        meta.pop("selfLink", None)
        for key in _FORCED:
            if not meta.get(key) and key in old_meta:
                meta[key] = old_meta[key]
        if "generation" in old_meta:
            meta["generation"] = old_meta["generation"]
        else:
            meta.pop("generation", None)
        prepare(new, old, ctx)
        meta = new["metadata"]
        meta["resourceVersion"] = old_meta["resourceVersion"]
        _refuse_invalid(resource, name, validation.update(resource, new, old, ctx.subresource))
        self.admission.validate(request)
        if deletion.finished(resource, new):
            return self._remove(kind, namespace, name, new, ctx)
        if new == old:
            return self._unchanged(kind, record, old)
        return self._put(kind, namespace, name, new, ctx)

    # --- delete ---

    async def delete(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        ctx: RequestContext,
    ) -> Written:
        """Delete an object as far as its finalizers and grace period let it."""
        try:
            pending = self.stage_delete(kind, namespace, name, options, ctx)
        except ApiError:
            await self._settled(kind, namespace, name)
            raise
        return await self._commit(kind, pending)

    def stage_delete(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        ctx: RequestContext,
    ) -> "Pending":
        """The synchronous part of `delete`."""
        record = self.store.head(kind.key, namespace, name)
        if record is None:
            raise errors.not_found(kind.resource, name)
        tree = kind.served(record.load())
        self.admission.mutate(request := AdmissionRequest(
            Operation.DELETE, kind.resource, namespace, name, ctx.user, ctx.subresource, old=tree
        ))  # fmt: skip
        self.admission.validate(request)
        deletion.check_preconditions(kind.resource, tree, options)
        plan = deletion.plan(kind.storage, tree, options, ctx.now)
        if plan.action is Action.NOTHING:
            return self._unchanged(kind, record, plan.tree)
        if plan.action is Action.MARK:
            return self._put(kind, namespace, name, plan.tree, ctx)
        if plan.action is Action.MARK_AND_REMOVE:
            self._put(kind, namespace, name, plan.tree, ctx)
        return self._remove(kind, namespace, name, plan.tree, ctx)

    # --- the store ---

    def _unchanged(self, kind: ServedKind, record: Record, tree: JsonObject) -> "Pending":
        """Nothing to write; but what is answered must be durable before it is told."""
        staged = self.store.staged(kind.key, record.namespace, record.name)
        return Pending(Written(record.json, tree=tree), staged)

    def _put(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        tree: JsonObject,
        ctx: RequestContext,
        *,
        created: bool = False,
    ) -> "Pending":
        stored = kind.stored(tree)
        if ctx.dry_run:
            if created:
                stored["metadata"].pop("resourceVersion", None)
            return Pending(Written(codecs.dumps_json(stored), created=created), None)
        stored["metadata"] = _with_version_slot(stored["metadata"])
        staged = self.store.put(
            kind.key, namespace, name, _encoder(stored), _attrs(kind.storage, stored)
        )
        return Pending(Written(b"", created=created), staged)

    def _remove(
        self, kind: ServedKind, namespace: str, name: str, tree: JsonObject, ctx: RequestContext
    ) -> "Pending":
        stored = kind.stored(tree)
        if ctx.dry_run:
            return Pending(Written(codecs.dumps_json(stored), removed=True), None)
        stored["metadata"] = _with_version_slot(stored["metadata"])
        staged = self.store.delete(kind.key, namespace, name, _encoder(stored))
        return Pending(Written(b"", removed=True), staged)

    async def _settled(self, kind: ServedKind, namespace: str, name: str) -> None:
        """A refusal tells what there is, too: let that become durable before it is told."""
        staged = self.store.staged(kind.key, namespace, name)
        if staged is not None:
            await self._durable(staged)

    async def _durable(self, staged: Staged) -> None:
        try:
            await self.store.committed(staged)
        except TimeoutError:
            raise errors.Timeout(
                "Timeout: request did not complete within requested timeout"
            ) from None

    async def _commit(self, kind: ServedKind, pending: "Pending") -> Written:
        if pending.staged is None:
            return pending.written
        if kind.resource.group == RBAC_GROUP:
            self.on_rbac_change()
        await self._durable(pending.staged)
        if kind.resource.group == RBAC_GROUP:
            self.on_rbac_change()
        pending.written.json = pending.staged.record.json
        return pending.written

    async def commit_all(self, kind: ServedKind, pending: Iterable["Pending"]) -> None:
        """Wait for several staged writes."""
        for one in pending:
            await self._commit(kind, one)


@dataclass(slots=True)
class Pending:
    """A write that is staged but perhaps not durable; `staged` is None if nothing was written."""

    written: Written
    staged: Staged | None


def _encoder(stored: JsonObject) -> Callable[[int], bytes]:
    def encode(revision: int) -> bytes:
        stored["metadata"]["resourceVersion"] = str(revision)
        return codecs.dumps_json_to_keep(stored)

    return encode


def _with_version_slot(meta: JsonObject) -> JsonObject:
    """`meta` with a resourceVersion in its usual place, whatever it holds."""
    if "resourceVersion" in meta:
        return meta
    out: JsonObject = {}
    for key, value in meta.items():
        out[key] = value
        if key == "uid":
            out["resourceVersion"] = ""
    return out


def _attrs(resource: Resource, stored: JsonObject) -> Attrs | None:
    """Attributes that are certain to be asked for, by the index of watchers; else None."""
    if resource.group_resource != NODE_INDEXED:
        return None
    return Attrs(
        labels=stored["metadata"].get("labels") or {}, fields=fields.selectable(resource, stored)
    )


def _check_namespace(resource: Resource, meta: JsonObject, namespace: str) -> None:
    given = meta.get("namespace", "")
    if not resource.namespaced:
        return
    if not given:
        meta["namespace"] = namespace
    elif given != namespace:
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _check_version(
    kind: ServedKind, meta: JsonObject, old_meta: JsonObject, conditional: bool
) -> None:
    """resourceVersion and uid of a sent object must be those of the stored one, where given."""
    resource, name = kind.resource, old_meta["name"]
    given = meta.get("resourceVersion", "")
    if not given or given == "0":
        if conditional and not kind.strategy.allows_unconditional_update:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.group, resource.kind, name, [cause])
    elif given != old_meta["resourceVersion"]:
        if not (given.isascii() and given.isdigit()):
            cause = Cause(
                "FieldValueInvalid",
                f'Invalid value: "{given}": must be convertible to uint64',
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.group, resource.kind, name, [cause])
        raise errors.conflict(resource, name, errors.MODIFIED)
    uid = meta.get("uid", "")
    if uid and uid != old_meta["uid"]:
        key = "/".join(
            part for part in ("/registry", resource.plural, old_meta.get("namespace"), name) if part
        )
        raise errors.conflict(
            resource,
            name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {old_meta['uid']}",
        )


def _refuse_invalid(resource: Resource, name: str, causes: list[Cause]) -> None:
    if causes:
        raise errors.invalid(resource.group, resource.kind, name, causes)


def _exists(resource: Resource, name: str, existing: Record) -> errors.AlreadyExists:
    terminating = bool(existing.load()["metadata"].get("deletionTimestamp"))
    return errors.already_exists(resource, name, "object is being deleted: " if terminating else "")
