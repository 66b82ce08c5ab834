"""ValidatingAdmissionPolicy: what its policies say to a write.

Source: Kubernetes v1.36, plugin/policy/validating (dispatcher.go, validator.go).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.cel.policies.admission import BUDGET, Activation, Failed, Spent
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.policy import expressions
from kubeherd.cluster.apiserver.admission.policy.expressions import NotTold
from kubeherd.cluster.apiserver.admission.policy.inquiry import Inquiry, Invocation, invocations
from kubeherd.cluster.apiserver.admission.policy.source import Binding, Policy
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_INVALID: Final = "Invalid"
_FAILURES: Final = "validation.policy.admission.k8s.io/validation_failure"
_MAX_MESSAGE_BYTES = 5 * 1024
_MAX_ANNOTATION_BYTES = 10 * 1024
_FAILED_MESSAGE = "failed messageExpression: "


class _Refusal(msgspec.Struct, frozen=True):
    """What a policy has against a write, and the place of the validation that says so."""

    message: str
    reason: str = _INVALID
    index: int = 0


class _Denied(msgspec.Struct, frozen=True):
    policy: Policy
    binding: Binding | None
    refusal: _Refusal


class _Findings(msgspec.Struct):
    """What the policies say together."""

    denied: list[_Denied] = msgspec.field(default_factory=list)
    annotations: dict[str, list[str]] = msgspec.field(default_factory=dict)


def validate(policies: Sequence[Policy], inquiry: Inquiry) -> None:
    """Ask the policies that a write concerns; the first refusal is raised. Warnings and
    annotations are left in the request and the inquiry."""
    findings = _Findings()
    for one in invocations(policies, inquiry):
        if one.problem:
            if not one.policy.may_fail:
                findings.denied.append(_Denied(one.policy, one.binding, _Refusal(one.problem)))
        elif one.binding is not None:
            _ask(one, one.binding, inquiry, findings)
    for key, values in findings.annotations.items():
        inquiry.annotations.setdefault(key, ", ".join(values))
    if findings.denied:
        raise _error(inquiry.request, findings.denied[0])


def _ask(one: Invocation, binding: Binding, inquiry: Inquiry, findings: _Findings) -> None:
    policy = one.policy
    try:
        if not expressions.met(inquiry, policy.spec.get("matchConditions"), one.seen_as, one.param):
            return
    except NotTold as why:
        if not policy.may_fail:
            _act(policy, binding, _Refusal(str(why)), inquiry, findings)
        return
    try:
        scope = expressions.scope_of(policy)
        seen = expressions.activation(inquiry, one.seen_as, one.param, scope)
    except Spent as why:
        if not policy.may_fail:
            _act(policy, binding, _Refusal(str(why)), inquiry, findings)
        return
    for refusal in _refusals(policy, seen):
        _act(policy, binding, refusal, inquiry, findings)
    seen.left = BUDGET
    for annotation in policy.spec.get("auditAnnotations") or ():
        _annotate(policy, binding, annotation, seen, findings)


def _refusals(policy: Policy, seen: Activation) -> list[_Refusal]:
    """What the validations of a policy say; only that they cost too much, if they do."""
    try:
        return list(_each_refusal(policy, seen))
    except Spent as why:
        return [] if policy.may_fail else [_Refusal(str(why))]


def _each_refusal(policy: Policy, seen: Activation) -> Iterator[_Refusal]:
    for index, validation in enumerate(policy.spec.get("validations") or ()):
        try:
            value = seen.value(validation["expression"])
        except Failed as why:
            if not policy.may_fail:
                yield _Refusal(str(why), index=index)
            continue
        if value is True:
            continue
        try:
            message = _message(validation, seen)
        except Spent as why:
            if not policy.may_fail:
                yield _Refusal(f"{_FAILED_MESSAGE}{why}", index=index)
            continue
        yield _Refusal(message, validation.get("reason") or _INVALID, index)


def _message(validation: JsonObject, seen: Activation) -> str:
    text: object = ""
    if validation.get("messageExpression"):
        try:
            text = seen.value(validation["messageExpression"])
        except Failed:
            text = ""
    text = text.strip() if isinstance(text, str) else ""
    if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE_BYTES:
        return text
    given = str(validation.get("message") or "").strip()
    return given or f"failed expression: {validation['expression'].strip()}"


def _act(
    policy: Policy, binding: Binding, refusal: _Refusal, inquiry: Inquiry, findings: _Findings
) -> None:
    """Do with a refusal what the binding says."""
    actions = binding.spec.get("validationActions") or ()
    for action in actions:
        if action == "Deny":
            findings.denied.append(_Denied(policy, binding, refusal))
        elif action == "Warn":
            inquiry.request.warnings.append(
                f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                f"'{binding.name}': {refusal.message}"
            )
        elif action == "Audit":
            failure = {
                "message": refusal.message,
                "policy": policy.name,
                "binding": binding.name,
                "expressionIndex": refusal.index,
                "validationActions": list(actions),
            }
            inquiry.annotations.setdefault(_FAILURES, orjson.dumps([failure]).decode())


def _annotate(
    policy: Policy,
    binding: Binding,
    annotation: JsonObject,
    seen: Activation,
    findings: _Findings,
) -> None:
    expression = annotation["valueExpression"]
    try:
        value = seen.value(expression)
    except (Failed, Spent) as why:
        if not policy.may_fail:
            findings.denied.append(_Denied(policy, binding, _Refusal(str(why))))
        return
    if value is None or (isinstance(value, str) and not value.strip()):
        return
    if not isinstance(value, str):
        problem = (
            f"valueExpression '{expression}' resulted in unsupported return type: "
            f"{_type_name(value)}. Return type must be either string or null."
        )
        findings.denied.append(_Denied(policy, binding, _Refusal(problem)))
        return
    text = value.strip().encode()[:_MAX_ANNOTATION_BYTES].decode(errors="ignore")
    values = findings.annotations.setdefault(f"{policy.name}/{annotation['key']}", [])
    if text not in values:
        values.append(text)


def _type_name(value: object) -> str:
    names = {bool: "bool", int: "int", float: "double", list: "list", dict: "map", bytes: "bytes"}
    return names.get(type(value), type(value).__name__)


def _error(request: AdmissionRequest, denied: _Denied) -> ApiError:
    by = f" with binding '{denied.binding.name}'" if denied.binding is not None else ""
    text = (
        f"ValidatingAdmissionPolicy '{denied.policy.name}'{by} denied request: "
        f"{denied.refusal.message}"
    )
    base = request.forbidden(text)
    reason = denied.refusal.reason
    return ApiError(
        base.message,
        code=_CODES.get(reason, 422),
        reason=reason,
        details={**(base.details or {}), "causes": [{"message": text}]},
    )
