"""Rules of admission policies and their bindings (pkg/apis/admissionregistration/validation).

Expressions are CEL (`expressions`).
"""

import re

from msgspec.structs import replace

from kubeherd.cluster.api import names
from kubeherd.cluster.api.cel.policies.scope import Returns, Scope, scope_of
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.admission.expressions import expression
from kubeherd.cluster.api.validation.admission.webhooks import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    REINVOCATION_POLICIES,
    match_conditions,
    rule_with_operations,
)
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, label_selector, one_of
from kubeherd.cluster.api.validation.rules import Rules

_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_PATCH_TYPES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_MUTATING_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_MAX_ANNOTATIONS = 20
_MAX_VALUE_EXPRESSION = 5 * 1024
_CEL_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_CEL_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
    "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip
_DENY_AND_WARN = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the "
    "API response and headers serves no purpose)"
)
_EXCLUSIVE = "name and selector are mutually exclusive"
_NOTHING = "validations or auditAnnotations must contain at least one item"


def create_validating_policy(tree: JsonObject) -> list[Cause]:
    """A new ValidatingAdmissionPolicy."""
    return _validating(tree, conditions=True)


def update_validating_policy(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ValidatingAdmissionPolicy."""
    return _validating(new, conditions=_conditions(new) != _conditions(old))


def _conditions(tree: JsonObject) -> tuple[JsonValue, JsonValue]:
    """What the match conditions of a policy rest on."""
    spec = tree.get("spec") or {}
    return spec.get("paramKind"), spec.get("matchConditions")


def _validating(tree: JsonObject, *, conditions: bool) -> list[Cause]:
    spec = tree.get("spec") or {}
    causes = _policy(spec, conditions=conditions)
    scope = _scope(spec)
    validations, annotations = spec.get("validations"), spec.get("auditAnnotations")
    if not validations and not annotations:
        return causes + [
            required(f"spec.{name}", _NOTHING) for name in ("validations", "auditAnnotations")
        ]
    for at, validation in each(validations, "spec.validations"):
        causes += _validation(validation, scope, at)
    if annotations and len(annotations) > _MAX_ANNOTATIONS:
        detail = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        causes.append(invalid("spec.auditAnnotations", annotations, detail))
    seen: set[str] = set()
    for at, annotation in each(annotations, "spec.auditAnnotations"):
        causes += _annotation_key(tree["metadata"].get("name", ""), annotation, at)
        causes += _annotation_value(annotation, scope, at)
        key = annotation.get("key", "")
        if key in seen:
            causes.append(duplicate(f"{at}.key", key))
        seen.add(key)
    return causes


def create_mutating_policy(tree: JsonObject) -> list[Cause]:
    """A new MutatingAdmissionPolicy."""
    return _mutating(tree, conditions=True)


def update_mutating_policy(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed MutatingAdmissionPolicy."""
    return _mutating(new, conditions=_conditions(new) != _conditions(old))


def _mutating(tree: JsonObject, *, conditions: bool) -> list[Cause]:
    spec = tree.get("spec") or {}
    causes = _policy(spec, mutating=True, conditions=conditions)
    scope = replace(_scope(spec), patches=True)
    if not spec.get("mutations"):
        causes.append(required("spec.mutations", "mutations must contain at least one item"))
    for at, mutation in each(spec.get("mutations"), "spec.mutations"):
        causes += _mutation(mutation, scope, at)
    policy, path = spec.get("reinvocationPolicy", ""), "spec.reinvocationPolicy"
    return causes + (one_of(policy, REINVOCATION_POLICIES, path) if policy else [required(path)])


def _scope(spec: JsonObject) -> Scope:
    """What the expressions of a policy may name."""
    variables = tuple((one.get("name", ""), one["expression"]) for one in _variables(spec))
    return scope_of(variables, params=spec.get("paramKind") is not None)


def _variables(spec: JsonObject) -> list[JsonObject]:
    return [one for one in spec.get("variables") or () if one.get("expression")]


def _policy(spec: JsonObject, *, conditions: bool, mutating: bool = False) -> list[Cause]:
    causes = one_of(spec.get("failurePolicy", ""), FAILURE_POLICIES, "spec.failurePolicy")
    if spec.get("paramKind") is not None:
        causes += _param_kind(spec["paramKind"], "spec.paramKind")
    constraints, path = spec.get("matchConstraints"), "spec.matchConstraints"
    if constraints is None:
        causes.append(required(path))
    else:
        causes += _match_resources(constraints, path)
        if not constraints.get("resourceRules"):
            causes.append(required(f"{path}.resourceRules"))
        if mutating:
            causes += _operations(constraints, path)
    scope = _scope(spec)
    if conditions:
        at = "spec.matchConditions"
        causes += match_conditions(spec.get("matchConditions"), at, params=scope.params)
    before = 0
    for at, variable in each(spec.get("variables"), "spec.variables"):
        causes += _variable(variable, replace(scope, seen=before), at)
        before += bool(variable.get("expression"))
    return causes


def _param_kind(kind: JsonObject, path: str) -> list[Cause]:
    text, name, at = kind.get("apiVersion", ""), kind.get("kind", ""), f"{path}.apiVersion"
    causes: list[Cause] = []
    group, _, version = text.rpartition("/")
    if not text:
        causes.append(required(at))
    elif text.count("/") > 1:
        causes.append(invalid(at, text, f"unexpected GroupVersion string: {text}"))
    else:
        if group and names.dns_subdomain(group):
            causes.append(invalid(at, group, ",".join(names.dns_subdomain(group))))
        if not version:
            causes.append(invalid(at, text, "version must be specified"))
        elif names.dns1035_label(version):
            causes.append(invalid(at, version, ",".join(names.dns1035_label(version))))
    problems = names.dns1035_label(name.lower())
    if not name:
        causes.append(required(f"{path}.kind"))
    elif problems:
        detail = "may have mixed case, but should otherwise match: " + ",".join(problems)
        causes.append(invalid(f"{path}.kind", name, detail))
    return causes


def _match_resources(match: JsonObject, path: str) -> list[Cause]:
    causes = one_of(match.get("matchPolicy", ""), MATCH_POLICIES, f"{path}.matchPolicy")
    for name in ("namespaceSelector", "objectSelector"):
        causes += label_selector(match.get(name), f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for at, rule in each(match.get(name), f"{path}.{name}"):
            causes += _resource_names(rule.get("resourceNames") or [], f"{at}.resourceNames")
            causes += rule_with_operations(rule, at)
    return causes


def _resource_names(values: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, value in enumerate(values):
        causes += invalid_each(f"{path}[{index}]", value, names.path_segment(value))
        if value in values[:index]:
            causes.append(duplicate(f"{path}[{index}]", value))
    return causes


def _operations(match: JsonObject | None, path: str) -> list[Cause]:
    """Mutating policies do not see deletes."""
    return [
        cause
        for rule in (match or {}).get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        for cause in one_of(operation, _MUTATING_OPERATIONS, f"{path}.resourceRules.operations")
    ]


def _variable(variable: JsonObject, scope: Scope, path: str) -> list[Cause]:
    """`scope` has the variables before this one only: the others it cannot name."""
    name = variable.get("name", "")
    causes: list[Cause] = []
    if not name.strip():
        causes.append(required(f"{path}.name", "name is not specified"))
    elif not _CEL_IDENTIFIER.fullmatch(name) or name in _CEL_RESERVED:
        causes.append(invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    text, at = variable.get("expression", ""), f"{path}.expression"
    if not text.strip():
        return [*causes, required(at, "expression is not specified")]
    return causes + expression(text, scope, Returns.ANYTHING, at)


def _validation(validation: JsonObject, scope: Scope, path: str) -> list[Cause]:
    causes: list[Cause] = []
    text = validation.get("expression", "")
    if not text.strip():
        causes.append(required(f"{path}.expression", "expression is not specified"))
    else:
        causes += expression(text, scope, Returns.BOOL, f"{path}.expression")
    for name in ("messageExpression", "message"):
        text = validation.get(name, "")
        if text and not text.strip():
            causes.append(invalid(f"{path}.{name}", text, "must be non-empty if specified"))
        elif text and name == "messageExpression":
            told = replace(scope, authorizer=False)
            causes += expression(text, told, Returns.STRING, f"{path}.{name}")
    message = validation.get("message", "")
    if "\n" in message.strip() or "\r" in message.strip():
        causes.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    if validation.get("reason") is not None:
        causes += one_of(validation["reason"], _REASONS, f"{path}.reason")
    return causes


def _annotation_key(policy: str, annotation: JsonObject, path: str) -> list[Cause]:
    key = annotation.get("key", "")
    if not policy:
        return [invalid(f"{path}.key", key, "requires metadata.name be non-empty")]
    full = f"{policy}/{key}"
    return invalid_each(f"{path}.key", full, names.qualified_name(full))


def _annotation_value(annotation: JsonObject, scope: Scope, path: str) -> list[Cause]:
    sent, at = annotation.get("valueExpression", ""), f"{path}.valueExpression"
    text = sent.strip()
    if not text:
        return [required(at, "valueExpression is not specified")]
    if len(text.encode()) > _MAX_VALUE_EXPRESSION:
        return [required(at, f"must not exceed {_MAX_VALUE_EXPRESSION} bytes in length")]
    return expression(text, scope, Returns.STRING_OR_NULL, at, shown=sent)


def _mutation(mutation: JsonObject, scope: Scope, path: str) -> list[Cause]:
    kind = mutation.get("patchType", "")
    if not kind:
        return [required(f"{path}.patchType")]
    wanted = _PATCH_TYPES.get(kind)
    if wanted is None:
        return [not_supported(f"{path}.patchType", kind, _PATCH_TYPES)]
    causes: list[Cause] = []
    if mutation.get(wanted) is None:
        detail = f"must be specified when patchType is {kind}"
        causes.append(required(f"{path}.{wanted}", detail))
    else:
        text, at = mutation[wanted].get("expression", "").strip(), f"{path}.{wanted}.expression"
        returns = Returns.PATCH if wanted == "jsonPatch" else Returns.OBJECT
        causes += expression(text, scope, returns, at) if text else [required(at)]
    for name in _PATCH_TYPES.values():
        if name != wanted and mutation.get(name) is not None:
            detail = f"must not be specified when patchType is {kind}"
            causes.append(invalid(f"{path}.{name}", f"{{{name}}}", detail))
    return causes


def create_validating_binding(tree: JsonObject) -> list[Cause]:
    """A ValidatingAdmissionPolicyBinding."""
    spec = tree.get("spec") or {}
    actions, path = spec.get("validationActions") or [], "spec.validationActions"
    causes = _binding(spec)
    for index, action in enumerate(actions):
        causes += one_of(action, _ACTIONS, f"{path}[{index}]")
        if action in actions[:index]:
            causes.append(duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        causes.append(invalid(path, actions, _DENY_AND_WARN))
    if not actions:
        causes.append(required(path, "at least one validation action is required"))
    return causes


def create_mutating_binding(tree: JsonObject) -> list[Cause]:
    """A MutatingAdmissionPolicyBinding."""
    spec = tree.get("spec") or {}
    return _binding(spec) + _operations(spec.get("matchResources"), "spec.matchResources")


def _binding(spec: JsonObject) -> list[Cause]:
    policy = spec.get("policyName", "")
    causes = [] if policy else [required("spec.policyName")]
    if policy:
        causes += invalid_each("spec.policyName", policy, names.dns_subdomain(policy))
    if spec.get("paramRef") is not None:
        causes += _param_ref(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        causes += _match_resources(spec["matchResources"], "spec.matchResources")
    return causes


def _param_ref(reference: JsonObject, path: str) -> list[Cause]:
    name, selector = reference.get("name", ""), reference.get("selector")
    causes = invalid_each(f"{path}.name", name, names.path_segment(name))
    causes += label_selector(selector, f"{path}.selector")
    if name and selector is not None:
        causes += [forbidden(f"{path}.{field}", _EXCLUSIVE) for field in ("name", "selector")]
    if not name and selector is None:
        causes.append(required(path, "one of name or selector must be specified"))
    action, at = reference.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction"
    if not action:
        return [*causes, required(at)]
    supported = ("Deny", "Allow")
    return causes if action in supported else [*causes, not_supported(at, action, supported)]


RULES = {
    "validatingadmissionpolicies.admissionregistration.k8s.io": Rules(
        create_validating_policy, update_validating_policy
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": Rules(
        create_mutating_policy, update_mutating_policy
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": Rules(
        create_validating_binding
    ),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": Rules(create_mutating_binding),
}
