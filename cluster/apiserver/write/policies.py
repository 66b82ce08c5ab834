"""Asks the admission policies that a write concerns.

Invariants: nothing is awaited, so policies see the object as it is written; where no policy is
bound a write takes a look-up in a dictionary of the store for each of the two kinds, and nothing
is imported.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kubeherd.cluster.api import errors, fields
from kubeherd.cluster.api.fields import EVERYTHING, FieldSelector
from kubeherd.cluster.apiserver.access.authz import Attributes, Authorizer
from kubeherd.cluster.apiserver.admission.equivalents import Custom
from kubeherd.cluster.apiserver.admission.mutation import Rounds
from kubeherd.cluster.apiserver.admission.policy import source
from kubeherd.cluster.apiserver.admission.policy.inquiry import Inquiry
from kubeherd.cluster.apiserver.admission.policy.source import Policy, PolicyKind
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.admission.webhooks import review
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.cluster.api.cel.functions.authorization import Decide, Question

_ACCOUNTS = "system:serviceaccounts"


class Policies:
    """The admission policies of a server. `custom` gives the custom kinds that it serves."""

    KEYS = (source.MUTATING.bindings, source.VALIDATING.bindings)
    """What says whether there are any."""

    def __init__(self, store: Store, lookup: Lookup, authorizer: Authorizer) -> None:
        self.custom: Callable[[], Custom] = dict
        self._store = store
        self._lookup = lookup
        self._authorizer = authorizer
        self._known: dict[PolicyKind, tuple[Sequence[Record], Sequence[Record], list[Policy]]] = {}

    @property
    def may_change(self) -> bool:
        """Whether there are any that change objects."""
        return bool(self._store.list(source.MUTATING.bindings))

    @property
    def may_refuse(self) -> bool:
        """Whether there are any that only refuse."""
        return bool(self._store.list(source.VALIDATING.bindings))

    def inquiry(self, request: AdmissionRequest, ctx: RequestContext) -> Inquiry:
        """A write as policies and match conditions see it."""
        return Inquiry(
            request,
            review.options_of(request, ctx.field_manager, dry_run=ctx.dry_run),
            ctx.dry_run,
            self._lookup,
            decide(self._authorizer, request.user),
            self.custom(),
            ctx.annotations,
        )

    def _bound(self, kind: PolicyKind, request: AdmissionRequest) -> list[Policy]:
        bindings = self._store.list(kind.bindings)
        if not bindings or request.resource.group_resource in source.EXEMPT:
            return []
        policies = self._store.list(kind.policies)
        known = self._known.get(kind)
        if known is None or known[0] is not policies or known[1] is not bindings:
            found = source.bound((r.load() for r in policies), (r.load() for r in bindings))
            known = self._known[kind] = policies, bindings, found
        return known[2]

    def mutate(self, request: AdmissionRequest, ctx: RequestContext, rounds: Rounds) -> None:
        """Let the mutating policies change the object, in place."""
        policies = self._bound(source.MUTATING, request)
        if policies:
            from kubeherd.cluster.apiserver.admission.policy import mutating  # noqa: PLC0415 - CEL

            mutating.mutate(policies, self.inquiry(request, ctx), rounds)

    def validate(self, request: AdmissionRequest, ctx: RequestContext) -> None:
        """Ask the validating policies; ApiError if one refuses."""
        policies = self._bound(source.VALIDATING, request)
        if policies:
            from kubeherd.cluster.apiserver.admission.policy import validating  # noqa: PLC0415

            validating.validate(policies, self.inquiry(request, ctx))


def decide(authorizer: Authorizer, user: User) -> "Decide":
    """What answers the questions of expressions about this user and about accounts."""

    def answer(question: "Question") -> tuple[bool, str]:
        asker = user
        if question.account:
            namespace, _, name = question.account.partition("/")
            groups = (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}")
            asker = User(f"system:serviceaccount:{namespace}:{name}", groups)
        if question.path:
            asked = Attributes(asker, question.verb, path=question.path)
        else:
            asked = Attributes(
                asker, question.verb, question.group, "*", question.resource,
                question.subresource, question.namespace, question.name,
                field_selector=_selector(question.field_selector),
            )  # fmt: skip
        decision = authorizer.authorize(asked)
        return decision.allowed, decision.reason

    return answer


def _selector(text: str) -> FieldSelector:
    try:
        return fields.parse(text) if text else EVERYTHING
    except errors.ApiError:
        return EVERYTHING
