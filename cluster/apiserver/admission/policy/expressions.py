"""What the expressions of a policy see of a write. Imported with the first policy: it needs CEL."""

from collections.abc import Sequence
from typing import Final

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.cel.functions import authorization
from kubeherd.cluster.api.cel.policies import scope
from kubeherd.cluster.api.cel.policies.admission import MATCH_BUDGET, Activation, Failed, Spent
from kubeherd.cluster.api.cel.policies.scope import Scope
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.admission.equivalents import converted
from kubeherd.cluster.apiserver.admission.policy.inquiry import Inquiry
from kubeherd.cluster.apiserver.admission.policy.source import Policy
from kubeherd.cluster.apiserver.admission.webhooks import review

CONDITIONS: Final = Scope(params=True)
"""What match conditions may name: none names parameters that are not there, they are checked when
they are stored."""


_LOOK: Final = 400
_VARIABLE: Final = 2
"""Steps (`cel.effort`) until the first expression of a policy sees the write."""


def scope_of(policy: Policy, *, patches: bool = False) -> Scope:
    """What the expressions of a policy may name. Spent if the write has no steps left."""
    variables = policy.spec.get("variables") or ()
    _afford(_VARIABLE * len(variables))
    return scope.scope_of(
        tuple((one["name"], one["expression"]) for one in variables),
        params=policy.spec.get("paramKind") is not None,
        patches=patches,
    )


def _afford(steps: int) -> None:
    if not effort.current().affords(steps):
        raise Spent


class NotTold(Exception):
    """Match conditions have no answer. The text says why."""


def activation(
    inquiry: Inquiry,
    resource: Resource,
    param: JsonObject | None,
    scope: Scope,
) -> Activation:
    """What expressions see of a write as one of `resource`; of its namespace only those that have
    variables. Spent if the write has no steps left."""
    _afford(_LOOK)
    request = inquiry.request
    new, old = (
        None if tree is None else converted(tree, request.resource, resource, inquiry.custom)
        for tree in (request.new, request.old)
    )
    resource_asked = authorization.Question(
        group=request.resource.group, resource=request.resource.plural,
        subresource=request.subresource, namespace=request.namespace, name=request.name,
    )  # fmt: skip
    facts = review.facts(request, resource, dry_run=inquiry.dry_run, options=inquiry.options)
    return Activation(
        {
            "object": new,
            "oldObject": old,
            "params": param,
            "request": facts,
            "namespaceObject": None if scope.variables is None else inquiry.namespace(),
            **authorization.variables(inquiry.decide, resource_asked),
        },
        scope,
    )


def met(
    inquiry: Inquiry,
    conditions: Sequence[JsonObject] | None,
    resource: Resource,
    param: JsonObject | None = None,
) -> bool:
    """Whether all match conditions hold; NotTold if some fail and none is false."""
    if not conditions:
        return True
    try:
        seen = activation(inquiry, resource, param, CONDITIONS)
    except Spent as why:
        raise NotTold(str(why)) from None
    seen.left = MATCH_BUDGET
    problems: dict[str, None] = {}
    values = []
    for one in conditions:
        try:
            values.append(seen.value(one["expression"]))
        except Failed as why:
            problems[str(why)] = None
        except Spent as why:
            raise NotTold(str(why)) from None
    if any(value is False for value in values):
        return False
    if problems:
        texts = list(problems)
        raise NotTold(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return True
