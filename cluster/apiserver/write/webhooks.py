"""Asks the webhooks that a write concerns, as steps of the write.

Invariants: they are asked outside the window between reading an object and writing it: the write
looks afterwards whether the object is still the newest, and begins again if not. Where no webhook
is configured a write takes two look-ups in a dictionary of the store.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeAlias

import structlog
from msgspec.structs import replace

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.patches.jsonpatch import json_patch
from kubeherd.cluster.apiserver.admission.equivalents import converted, equivalents
from kubeherd.cluster.apiserver.admission.mutation import Rounds, decoded, replaced
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.admission.webhooks import matching, review
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.admission.webhooks.review import Answer, CallFailed
from kubeherd.cluster.apiserver.read.lookup import Lookup
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.heavywork import Steps, outside
from kubeherd.cluster.apiserver.write.policies import Policies
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.store import Store

Post: TypeAlias = Callable[[Hook, bytes], Awaitable[bytes]]
"""Sends a body to a webhook and gives its answer; CallFailed."""

_BOTH = (matching.MUTATING, matching.VALIDATING)
_TRIES = 5
"""So often webhooks are asked about an object that changes meanwhile and is to be deleted."""

_log = structlog.get_logger(__name__)


async def _post(hook: Hook, body: bytes) -> bytes:
    from kubeherd.cluster.apiserver.write import webhookcall  # noqa: PLC0415 - aiohttp's client

    return await webhookcall.post(hook, body)


class Webhooks:
    """The webhooks of a server; `post` can be replaced, in tests."""

    KEYS = (matching.MUTATING.group_resource, matching.VALIDATING.group_resource)
    """What says whether there are any."""

    def __init__(self, store: Store, lookup: Lookup, rng: Rng, policies: Policies) -> None:
        self.post: Post = _post
        self._policies = policies
        self._store = store
        self._lookup = lookup
        self._rng = rng
        self._known: dict[Resource, tuple[Sequence[Record], list[Hook]]] = {}

    @property
    def may_change(self) -> bool:
        """Whether there are any that may change objects."""
        return bool(self._store.list(matching.MUTATING.group_resource))

    @property
    def may_refuse(self) -> bool:
        """Whether there are any that only refuse."""
        return bool(self._store.list(matching.VALIDATING.group_resource))

    def _concerned(
        self, resource: Resource, request: AdmissionRequest
    ) -> Iterator[tuple[Hook, Resource]]:
        """Looks at the object as it is when the next one is asked for."""
        records = self._store.list(resource.group_resource)
        if not records:
            return iter(())
        known = self._known.get(resource)
        if known is None or known[0] is not records:  # the same sequence until the next write
            known = records, matching.hooks(record.load() for record in records)
            self._known[resource] = known
        others = equivalents(request.resource, self._policies.custom())
        return matching.concerned(known[1], request, self._lookup, others)

    def mutate(
        self, request: AdmissionRequest, ctx: RequestContext, rounds: Rounds
    ) -> "Steps[None]":
        """Ask those that may change the object one after the other, and apply what they answer, in
        place."""
        hooks = self._concerned(matching.MUTATING, request)
        first = next(hooks, None)
        if first is None:
            return
        tree = request.new or {}
        rounds.begin(tree)
        for hook, resource in chain([first], hooks):
            if rounds.wants(hook.key):
                changed = yield from self._change(hook, resource, request, ctx)
                rounds.asked(hook.key, changed=changed, again=hook.is_reinvoked)
        rounds.end(tree)

    def _change(
        self, hook: Hook, resource: Resource, request: AdmissionRequest, ctx: RequestContext
    ) -> "Steps[bool]":
        """Ask one, which sees the object as one of `resource`; whether it changed the object."""
        ask = partial(self._ask, hook, resource, request, ctx, mutating=True)
        answer = yield from outside(ask)
        if answer is None or answer.patch is None or answer.patch == []:
            return False
        tree = request.new or {}
        try:
            patched = json_patch(
                converted(tree, request.resource, resource, self._policies.custom()), answer.patch
            )
            decoded(resource, patched)
        except ApiError as error:
            raise _internal(error.message) from None
        return replaced(request, resource, patched, self._policies.custom())

    def validate(self, request: AdmissionRequest, ctx: RequestContext) -> "Steps[bool]":
        """Ask those that may refuse one after the other; returns whether there are any. The first
        refusal counts."""
        asked = False
        for hook, resource in self._concerned(matching.VALIDATING, request):
            asked = True
            yield from outside(partial(self._ask, hook, resource, request, ctx, mutating=False))
        return asked

    async def before_delete(
        self, kind: ServedKind, namespace: str, name: str, ctx: RequestContext
    ) -> None:
        """Returns when all that want to know of the end of an object let its newest state go:
        without letting anybody in between if there are none."""
        effort.begin(0)
        if ctx.asked:
            return
        for _ in range(_TRIES):
            record = self._store.head(kind.key, namespace, name)
            if record is None or not any(self._store.list(one.group_resource) for one in _BOTH):
                return
            old = kind.served(record.load())
            request = AdmissionRequest(
                Operation.DELETE, kind.resource, namespace, name, ctx.user, old=old
            )
            self._policies.validate(request, replace(ctx, annotations={}))  # who refuses first
            for which in _BOTH:
                for hook, resource in self._concerned(which, request):
                    mutating = which is matching.MUTATING
                    answer = await self._ask(hook, resource, request, ctx, mutating=mutating)
                    if answer is not None and answer.patch:
                        raise _internal(
                            f'admission webhook "{hook.name}" attempted to modify the object, '
                            "which is not supported for this operation"
                        )
            if self._store.head(kind.key, namespace, name) is record:
                return
        raise errors.conflict(kind.resource, name, errors.MODIFIED)

    async def _ask(
        self,
        hook: Hook,
        resource: Resource,
        request: AdmissionRequest,
        ctx: RequestContext,
        *,
        mutating: bool,
    ) -> Answer | None:
        """What a webhook says; None if its match conditions do not hold, or it cannot be asked and
        that does not matter. ApiError if it refuses, or cannot be asked and that does matter."""
        if not self._conditions_met(hook, resource, request, ctx):
            return None
        if ctx.dry_run and not hook.allows_dry_run:
            raise errors.BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        try:
            answer = await self._answer(hook, resource, request, ctx, mutating=mutating)
        except CallFailed as why:
            if hook.may_fail:
                _log.warning("webhook_failed_open", webhook=hook.name, why=str(why))
                return None
            raise review.failure(hook, why) from None
        ctx.warnings.extend(answer.warnings)
        for key, value in answer.annotations.items():
            ctx.annotations.setdefault(f"{hook.name}/{key}", value)
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    def _conditions_met(
        self, hook: Hook, resource: Resource, request: AdmissionRequest, ctx: RequestContext
    ) -> bool:
        conditions = hook.tree.get("matchConditions")
        if not conditions:
            return True
        from kubeherd.cluster.apiserver.admission.policy import expressions  # noqa: PLC0415 - CEL

        try:
            return expressions.met(self._policies.inquiry(request, ctx), conditions, resource)
        except expressions.NotTold as why:
            if hook.may_fail:
                return False
            raise request.forbidden(str(why)) from None

    async def _answer(
        self,
        hook: Hook,
        resource: Resource,
        request: AdmissionRequest,
        ctx: RequestContext,
        *,
        mutating: bool,
    ) -> Answer:
        uid, version = self._rng.uuid4(), review.version_for(hook)
        options = review.options_of(request, ctx.field_manager, dry_run=ctx.dry_run)
        new, old = (
            tree and converted(tree, request.resource, resource, self._policies.custom())
            for tree in (request.new, request.old)
        )
        seen = replace(request, resource=resource, new=new, old=old)
        body = review.question(request, seen, uid, version, dry_run=ctx.dry_run, options=options)
        found = await self.post(hook, body)
        return review.answer(hook, found, uid, version, mutating=mutating)


def _internal(text: str) -> ApiError:
    return errors.InternalError(
        f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )
