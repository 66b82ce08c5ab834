"""One try of a write: the pipeline between a decoded request and the store.

Source: spec api-machinery, sections 4 to 6, whose order of steps this module follows: defaulting
has been done, then system metadata, field ownership, mutating admission, name, strategy,
validation, validating admission, store. Invariants: the steps between `Store.head` and
`Store.put` never await, so no other write can come between (the event loop is the serialisation
point); on any refusal nothing is stored; an object that would not change is not written.

A try is a generator of `Steps`: it yields the work that touches nothing but its own trees. For a
small object all of it runs at once. For a large one that work goes to `HeavyWork`, and the loop is
free meanwhile; if the object changes in that time the write begins again with the new state.
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import Protocol

from kubeherd.cluster.api import errors, kinds, names
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authz import Authorizer, escalation, signers
from kubeherd.cluster.apiserver.access.authz.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)
from kubeherd.cluster.apiserver.access.authz.rbac import GROUP as RBAC_GROUP
from kubeherd.cluster.apiserver.admission import (
    Admission,
    AdmissionRequest,
    Operation,
)
from kubeherd.cluster.apiserver.read.storedobjects import StoredObjects
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import (
    companions,
    deletion,
    fencing,
    revisiondata,
    tracking,
    wording,
)
from kubeherd.cluster.apiserver.write.chain import AdmissionChain
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import Action, DeleteOptions
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork, Steps, at_once, pure
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.policies import Policies
from kubeherd.cluster.apiserver.write.preconditions import (
    check_namespace,
    check_no_version,
    check_version,
    exists_already,
    keep_system_fields,
    refuse_invalid,
)
from kubeherd.cluster.apiserver.write.short import podparts
from kubeherd.cluster.apiserver.write.short.writes import ShortWrites
from kubeherd.cluster.apiserver.write.storedform import attrs, encoder, ttl_s, with_version_slot
from kubeherd.cluster.apiserver.write.webhooks import Webhooks
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.store import Store

_WIPED = (
    "creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
)  # fmt: skip
_GENERATE_TRIES = 8


class ChangedMeanwhile(Exception):
    """The object that a write rests on is no longer the newest."""


class Prepare(Protocol):
    """How a write to one (sub)resource combines the sent object with the stored one, in place."""

    def __call__(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None: ...


class Given(Enum):
    """How much of the stored object an update's `transform` gets."""

    NOTHING = auto()
    """An empty tree."""
    OUTLINE = auto()
    """A tree of which it may replace members, and members of these, such as ``metadata.labels``.
    Neither it nor the kind's strategy may change what is within those."""
    WHOLE = auto()
    """A tree of its own, which it may change anywhere."""


class Pipeline(StoredObjects):
    """Carries out writes on the newest state, up to staging them in the store. Admission and
    authorisation look up stored objects here, too."""

    def __init__(self, store: Store, rng: Rng, heavy: HeavyWork) -> None:
        super().__init__(store)
        self._heavy = heavy
        self._rng = rng
        self.admission = Admission(self)
        self.authorizer = Authorizer(self)
        for resource in ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS:
            store.hub.listen(resource.group_resource, self.authorizer.invalidate)
        self.policies = Policies(store, self, self.authorizer)
        self.webhooks = Webhooks(store, self, rng, self.policies)
        self.chain = AdmissionChain(
            store, self.admission, self.policies, self.webhooks, self._heavy
        )
        self.short = ShortWrites(self, self.admission, self.chain)

    # --- create ---

    def stage_create(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> Pending:
        """Stage a new object at once; as `create_steps`."""
        return at_once(self.create_steps(kind, namespace, tree, ctx))

    def create_steps(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> Steps[Pending]:
        """Stage a new object, made of a decoded, defaulted tree in the served version."""
        request = yield from self._new_steps(kind, namespace, tree, ctx, self._rng.uuid4())
        charged = self.chain.charge(request)
        with self.store.together():
            fencing.hold(self.store, ctx.fence)
            if namespace and not ctx.asked:  # nothing comes into one that is deleted meanwhile
                self.store.rest_on(kinds.NAMESPACES.group_resource, "", namespace)
            companions.take(self, kind, tree, {}, ctx)
            pending = self._put(kind, namespace, request.name, tree, ctx, created=True)
            self._put_quotas(charged, ctx)
        return pending

    def make(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext, uid: str
    ) -> JsonObject:
        """The object as it would be stored if `tree` was created with this UID. Nothing is staged,
        and its resourceVersion is empty."""
        at_once(self._new_steps(kind, namespace, tree, ctx, uid))
        stored = kind.stored(tree)
        stored["metadata"] = with_version_slot(stored["metadata"])
        return stored

    def _new_steps(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext, uid: str
    ) -> Steps[AdmissionRequest]:
        """Turn a tree that was sent into the object to be stored, in place."""
        resource = kind.resource
        meta = tree.setdefault("metadata", {})
        check_namespace(resource, meta, namespace)
        version = meta.pop("resourceVersion", "")
        for key in _WIPED:
            meta.pop(key, None)
        yield from pure(lambda: _record_owners(kind, tree, None, ctx))
        meta["creationTimestamp"] = ctx.timestamp
        meta["uid"] = uid
        request = AdmissionRequest(
            Operation.CREATE,
            resource,
            namespace,
            meta.get("name", ""),
            ctx.user,
            new=tree,
            dry_run=ctx.dry_run,
            warnings=ctx.warnings,
            annotations=ctx.annotations,
        )
        yield from self.chain.mutate(request, ctx)
        meta = tree["metadata"]
        if resource.group == RBAC_GROUP:
            escalation.check(request, self.authorizer)
        self._name(kind, namespace, meta)
        request.name = name = meta.get("name", "")
        self.admission.allocate(request)
        kind.strategy.prepare_create(tree, ctx)
        if not ctx.is_valid:
            causes = yield from pure(lambda: wording.of_create(resource, tree, ctx))
            refuse_invalid(resource, name, causes)
        ctx.warnings.extend(kind.strategy.warnings(tree, {}))
        self.admission.validate(request)
        if (yield from self.chain.validate(request, ctx)):
            self.admission.check_namespace(request)
        if ctx.dry_run and version:
            meta["resourceVersion"] = version  # nothing is stored that would give it another
        elif not ctx.creates_on_update:
            check_no_version(version)
        existing = self.store.head(kind.key, namespace, name)
        if existing is not None:
            raise exists_already(resource, name, existing)
        fencing.check(self, resource, name, ctx.fence)
        return request

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

    def look(
        self,
        kind: ServedKind,
        record: Record,
        transform: Callable[[JsonObject], JsonObject],
        given: Given,
    ) -> tuple[JsonObject, JsonObject]:
        """The stored object, and the wanted one that `transform` makes of what it is `given`.

        An outline is given only to objects that this server has stored (what another server stored
        may lack what decoding adds) and that no policy or webhook can change: those may change
        anything.
        """
        old = kind.served(record.load())
        if given is Given.NOTHING:
            return old, transform({})
        if given is Given.OUTLINE and self.chain.is_own and record.revision > self.short.began_at:
            outline = {
                name: dict(value) if value.__class__ is dict else value
                for name, value in old.items()
            }
            return old, transform(outline)
        return old, transform(kind.served(record.load()))

    def update_steps(
        self,
        kind: ServedKind,
        record: Record,
        look: Callable[[], tuple[JsonObject, JsonObject]],
        ctx: RequestContext,
        prepare: Prepare,
        conditional: bool,
    ) -> Steps[Pending]:
        """Stage the wanted object in place of `record`. `look` returns both, as `self.look`; the
        rest is as in `Registry.update`. ChangedMeanwhile if `record` is not the newest version any
        more."""
        resource, namespace, name = kind.resource, record.namespace, record.name
        old, new = yield from pure(look)
        meta, old_meta = new.setdefault("metadata", {}), old["metadata"]
        check_namespace(resource, meta, namespace)
        yield from pure(lambda: _record_owners(kind, new, old, ctx))
        request = AdmissionRequest(
            Operation.UPDATE, resource, namespace, name, ctx.user, ctx.subresource, new, old,
            ctx.dry_run, ctx.warnings, ctx.annotations,
        )  # fmt: skip
        yield from self.chain.mutate(request, ctx)
        meta = new["metadata"]
        if resource.group == RBAC_GROUP:
            escalation.check(request, self.authorizer)
        check_version(kind, meta, old_meta, conditional=conditional, dry_run=ctx.dry_run)
        meta.pop("selfLink", None)
        keep_system_fields(meta, old_meta)
        self.admission.allocate(request)
        prepare(new, old, ctx)
        meta = new["metadata"]
        meta["resourceVersion"] = old_meta["resourceVersion"]
        causes = yield from pure(lambda: wording.of_update(resource, new, old, ctx))
        causes += revisiondata.changed(resource, new, ctx.data_text, record.json)
        if self.store.head(kind.key, namespace, name) is not record:
            raise ChangedMeanwhile
        refuse_invalid(resource, name, causes)
        ctx.warnings.extend(kind.strategy.warnings(new, old))
        self.admission.validate(request)
        if resource.group == signers.GROUP:
            signers.check(request, self.authorizer)
        yield from self.chain.validate(request, ctx)
        if self.store.head(kind.key, namespace, name) is not record:
            raise ChangedMeanwhile
        fencing.check(self, resource, name, ctx.fence)
        if deletion.finished(resource, new):
            return self._remove(kind, namespace, name, new, ctx)
        if new == old:
            return self._unchanged(kind, record)
        charged = self.chain.charge(request)
        with self.store.together():
            fencing.hold(self.store, ctx.fence)
            companions.take(self, kind, new, old, ctx)
            pending = self._put(kind, namespace, name, new, ctx)
            companions.release(self, kind, old, new, ctx)
            self._put_quotas(charged, ctx)
        return pending

    # --- delete ---

    def stage_delete(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        ctx: RequestContext,
    ) -> Pending:
        """Stage the deletion of an object, or that it is marked as to be deleted."""
        record = self.store.head(kind.key, namespace, name)
        if record is None:
            raise errors.not_found(kind.resource, name)
        fencing.check(self, kind.resource, name, ctx.fence)
        parts = self.short.parts_to_delete(kind, record, ctx)
        tree = kind.served(record.load()) if parts is None else podparts.outline(parts)
        self.admission.mutate(request := AdmissionRequest(
            Operation.DELETE, kind.resource, namespace, name, ctx.user, ctx.subresource, old=tree,
            warnings=ctx.warnings,
        ))  # fmt: skip
        self.admission.validate(request)
        if not ctx.asked:
            self.policies.validate(request, ctx)
        deletion.check_preconditions(kind.resource, tree, options)
        plan = kind.strategy.plan_delete(kind.storage, tree, options, ctx.now)
        if plan.action is Action.NOTHING:
            return self._unchanged(kind, record)
        if parts is not None:
            return self.short.delete(kind, record, plan, parts.spec)
        with self.store.together():
            fencing.hold(self.store, ctx.fence)
            if plan.action is Action.MARK:
                return self._put(kind, namespace, name, plan.tree, ctx)
            if plan.action is Action.MARK_AND_REMOVE:
                self._put(kind, namespace, name, plan.tree, ctx)
            return self._remove(kind, namespace, name, plan.tree, ctx)

    # --- the store ---

    def _unchanged(self, kind: ServedKind, record: Record) -> Pending:
        """Nothing is written; but the answer must wait until the object is durable."""
        staged = self.store.staged(kind.key, record.namespace, record.name)
        return Pending(Written(record.json), staged)

    def _put(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        tree: JsonObject,
        ctx: RequestContext,
        *,
        created: bool = False,
    ) -> Pending:
        stored = revisiondata.to_store(kind.stored(tree), ctx.data_text)
        # A text that is kept is no tree.
        answered = None if ctx.data_text else stored
        if ctx.dry_run:
            return Pending(Written(codecs.dumps_json(stored), answered, created=created), None)
        stored["metadata"] = with_version_slot(stored["metadata"])
        staged = self.store.put(
            kind.key, namespace, name, encoder(stored), attrs(kind.storage, stored),
            ttl_s=ttl_s(kind.storage),
        )  # fmt: skip
        return Pending(Written(b"", answered, created=created), staged)

    def _put_quotas(self, charged: Iterable[JsonObject], ctx: RequestContext) -> None:
        """Stage changed quotas, after the object for which they are charged, so that nobody sees a
        charge without its object."""
        for quota in charged:
            meta = quota["metadata"]
            self._put(served.of(kinds.RESOURCEQUOTAS), meta["namespace"], meta["name"], quota, ctx)

    def _remove(
        self, kind: ServedKind, namespace: str, name: str, tree: JsonObject, ctx: RequestContext
    ) -> Pending:
        stored = kind.stored(tree)
        if ctx.dry_run:
            return Pending(Written(codecs.dumps_json(stored), stored, removed=True), None)
        stored["metadata"] = with_version_slot(stored["metadata"])
        with self.store.together():
            staged = self.store.delete(kind.key, namespace, name, encoder(stored))
            companions.gone(self, kind, tree, ctx)
        return Pending(Written(b"", stored, removed=True), staged)


def _record_owners(
    kind: ServedKind, new: JsonObject, old: JsonObject | None, ctx: RequestContext
) -> None:
    kind.strategy.normalise(new)
    if old is None and ctx.dropped:
        sent = partial(tracking.record, kind, new, None, ctx)
        decoding.with_dropped(ctx.dropped, sent, printed=True)
    else:
        tracking.record(kind, new, old, ctx)
