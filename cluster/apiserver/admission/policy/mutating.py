"""MutatingAdmissionPolicy: what its policies make of a write.

Source: Kubernetes v1.36, plugin/policy/mutating/dispatcher.go and generic/policy_dispatcher.go.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.cel.effort import TooCostly
from kubeherd.cluster.api.cel.policies.admission import Failed, Spent
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.equivalents import converted
from kubeherd.cluster.apiserver.admission.mutation import Rounds, decoded, replaced
from kubeherd.cluster.apiserver.admission.policy import expressions, patches
from kubeherd.cluster.apiserver.admission.policy.expressions import NotTold
from kubeherd.cluster.apiserver.admission.policy.inquiry import Inquiry, Invocation, invocations
from kubeherd.cluster.apiserver.admission.policy.patches import NotPatched
from kubeherd.cluster.apiserver.admission.policy.source import Policy
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest


class _Problem(msgspec.Struct, frozen=True):
    """Why a policy that may not fail did; `reason` of the Status, "" for Forbidden."""

    invocation: Invocation
    text: str
    reason: str = ""


def mutate(policies: Sequence[Policy], inquiry: Inquiry, rounds: Rounds) -> None:
    """Let the policies that a write concerns change its object one after the other, in place.

    ApiError if one that may not fail cannot: then the others have been asked, too.
    """
    problems: list[_Problem] = []
    tree = inquiry.request.new or {}
    rounds.begin(tree)
    for one in list(invocations(policies, inquiry)):
        if one.problem:
            problems.append(_Problem(one, one.problem))
        elif inquiry.request.new is not None:
            problems += _invoke(one, inquiry, rounds)
    rounds.end(tree)
    grave = [problem for problem in problems if not problem.invocation.policy.may_fail]
    if grave:
        raise _error(inquiry.request, grave)


def _invoke(one: Invocation, inquiry: Inquiry, rounds: Rounds) -> list[_Problem]:
    """Carry out the mutations of a policy in order; those that fail are left out."""
    spec, key = one.policy.spec, _key(one)
    try:
        conditions = spec.get("matchConditions")
        if not expressions.met(inquiry, conditions, one.seen_as, one.param):
            return []
    except NotTold as why:
        return [_Problem(one, str(why), "Invalid")]
    if not rounds.wants(key):
        return []
    problems = []
    changed = False
    for mutation in spec["mutations"]:
        try:
            changed |= _mutate(one, mutation, inquiry)
        except (Failed, Spent, NotPatched, TooCostly) as why:
            problems.append(_Problem(one, str(why), "Invalid"))
    again = spec.get("reinvocationPolicy") == "IfNeeded"
    rounds.asked(key, changed=changed, again=again)
    return problems


def _key(one: Invocation) -> tuple[str, ...]:
    """What tells an invocation from all others."""
    meta = (one.param or {}).get("metadata") or {}
    binding = one.binding.name if one.binding is not None else ""
    return one.policy.name, binding, meta.get("namespace") or "", meta.get("name") or ""


def _mutate(one: Invocation, mutation: JsonObject, inquiry: Inquiry) -> bool:
    """Carry out one mutation on the object, in place; whether anything changed."""
    request, resource = inquiry.request, one.seen_as
    scope = expressions.scope_of(one.policy, patches=True)
    seen = expressions.activation(inquiry, resource, one.param, scope)
    tree = converted(request.new or {}, request.resource, resource, inquiry.custom)
    if mutation["patchType"] == "JSONPatch":
        new = patches.patched(tree, seen.value(mutation["jsonPatch"]["expression"].strip()))
    else:
        value = seen.value(mutation["applyConfiguration"]["expression"].strip())
        new = patches.applied(resource, tree, value)
    try:
        unknown = decoded(resource, new)
    except ApiError as why:
        raise _internal(why.message) from None
    if unknown:
        raise _internal(f"strict decoding error: {', '.join(unknown)}")
    return replaced(request, resource, new, inquiry.custom)


def _internal(text: str) -> ApiError:
    return errors.InternalError(
        f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )


def _error(request: AdmissionRequest, problems: list[_Problem]) -> ApiError:
    texts = [_text(problem) for problem in problems]
    base = request.forbidden(texts[0])
    return ApiError(
        texts[0],
        code=403,
        reason=problems[0].reason or "Forbidden",
        details={**(base.details or {}), "causes": [{"message": text} for text in texts]},
    )


def _text(problem: _Problem) -> str:
    policy, binding = problem.invocation.policy, problem.invocation.binding
    if binding is None:
        return f'policy "{policy.name}" denied request: {problem.text}'
    return f"policy '{policy.name}' with binding '{binding.name}' denied request: {problem.text}"
